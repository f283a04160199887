"""A C++ program that tries calls which reach other processes, the filter itself, its own open files and the next run."""

from __future__ import annotations

CALLS = r"""
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cstdio>
#include <cstring>
#include <string>
static void got(std::string name, bool yes) { if (yes) printf("GOT %s\n", name.c_str()); fflush(stdout); }
static bool opens(std::string path, int how) { return open(path.c_str(), how, 0600) >= 0; }
static bool any(std::string path) { return opens(path, O_RDONLY) || opens(path, O_WRONLY) || opens(path, O_RDWR); }
int main() {
  auto calls = [](long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) { return syscall(number, a, b, c, d, e, f) >= 0; };
  char room[256] = {56};
  // a filter or a tracer of its own
  sock_filter pass{0x06, 0, 0, 0x7fff0000}; sock_fprog program{1, &pass};
  got("filter that asks", calls(SYS_seccomp, 1, 8, (long)&program));
  got("another filter", calls(SYS_seccomp, 1, 0, (long)&program) || prctl(PR_SET_SECCOMP, 2, &program) == 0);
  got("strict mode", calls(SYS_seccomp, 0, 0, 0));
  got("a tracer allowed", prctl(0x59616d61, PARENT) == 0);
  got("dumpable", prctl(PR_SET_DUMPABLE, 1) == 0);
  got("orphans of others", prctl(36, 1) == 0);
  got("memory map told anew", prctl(PR_SET_MM, PR_SET_MM_BRK, 0x1000, 0, 0) == 0);
  got("core shared with the parent", prctl(62, 1, PARENT, 0, 0) == 0);
  got("calls dispatched", prctl(59, 1, 0, 0, 0) == 0);
  got("ambient rights", prctl(47, 2, 21, 0, 0) == 0);
  // timers and queued signals at another process
  sigevent event{}; event.sigev_notify = 4; event.sigev_signo = SIGKILL; event._sigev_un._tid = PARENT; timer_t timer;
  got("timer at another", timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  siginfo_t info{}; info.si_code = -1;
  got("queued signal", calls(SYS_rt_tgsigqueueinfo, PARENT, PARENT, 0, (long)&info) || sigqueue(PARENT, 0, {}) == 0);
  got("signal by descriptor", calls(SYS_pidfd_send_signal, 0, 0, 0, 0));
  got("signals read", calls(SYS_signalfd4, -1, (long)&info, 8, 0) || calls(SYS_timerfd_create, 1, 0));
  // where another process runs, when, with which memory, and how long it has run
  void *pages[1] = {0}; int status[1];
  got("pages of another", calls(SYS_move_pages, PARENT, 1, (long)pages, 0, (long)status, 0) || calls(SYS_migrate_pages, PARENT, 0, 0, 0));
  got("locks of another", calls(SYS_get_robust_list, PARENT, (long)room, (long)room));
  got("deadlines of another", calls(SYS_sched_setattr, PARENT, (long)room, 0) || calls(SYS_sched_setscheduler, PARENT, 3, (long)room));
  got("memory of a dead one", calls(448, 0, 0) || calls(SYS_set_mempolicy, 0, 0, 0) || calls(SYS_mlockall, 1));
  timespec time; got("clock of another", clock_gettime((~(clockid_t)PARENT << 3) | 2, &time) == 0 || clock_getres((~(clockid_t)PARENT << 3) | 2, &time) == 0);
  // what others have open: pipes stand in no folder that a rule could name
  for (int n = 0; n < 40; n++) for (std::string who : {"PARENT", "SIBLING", "1"}) got("open file of another", any("/proc/" + who + "/fd/" + std::to_string(n)));
  for (std::string f : {"mem", "maps", "oom_score_adj", "coredump_filter", "attr/current", "uid_map", "setgroups", "timerslack_ns"}) got(f, any("/proc/self/" + f));
  for (std::string f : {"sys/kernel/core_pattern", "sys/kernel/hostname", "sys/vm/drop_caches", "sysrq-trigger", "locks", "keys"}) got(f, any("/proc/" + f));
  for (std::string f : {"/sys/kernel/debug", "/sys/fs/cgroup/cgroup.procs", "/sys/power/state", "/dev/pts/0", "/dev/console", "/dev/zero"}) got(f, any(f));
  got("its own input written", write(0, "x", 1) == 1);
  // programs and files without a name
  char *none[] = {nullptr};
  got("program without a name", calls(SYS_execveat, 0, (long)"", (long)none, (long)none, 0x1000));
  for (std::string f : {"/tmp", ".", "/dev/shm"}) got("file without a name in " + f, opens(f, O_TMPFILE | O_RDWR));
  // what the next run would read: this run's folder, whose header is one file with the one that is kept
  for (std::string f : {"main", "codeact.h.gch", "codeact.h", "marker"}) {
    got(f + " truncated", opens(f, O_RDONLY | O_TRUNC) || opens(f, 3 | O_TRUNC));
    got(f + " written", opens(f, O_RDWR) || opens(f, O_WRONLY | O_CREAT) || opens(f, O_RDONLY | O_CREAT | O_EXCL));
    got(f + " changed", chmod(f.c_str(), 0777) == 0 || utimensat(AT_FDCWD, f.c_str(), nullptr, 0) == 0 || calls(452, AT_FDCWD, (long)f.c_str(), 0777, 0));
    got(f + " renamed", unlink(f.c_str()) == 0 || rename(f.c_str(), "other") == 0 || link(f.c_str(), "other") == 0);
  }
  int kept = open("codeact.h.gch", O_RDONLY); struct flock range{F_RDLCK, SEEK_SET, 0, 0};
  got("lock", flock(kept, LOCK_EX) == 0 || fcntl(kept, F_SETLK, &range) == 0 || fcntl(kept, 37, &range) == 0 || fcntl(kept, F_SETLEASE, F_RDLCK) == 0);
  got("shared page", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0) != MAP_FAILED);
  got("notes of changes", fcntl(kept, F_NOTIFY, 1) == 0);
  // a socket pair made into more, and buffers beyond the limits
  int ends[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, ends); sockaddr_un to{AF_UNIX, "\0codeact"}; msghdr message{}; int size = 1 << 24;
  got("abstract name", bind(ends[0], (sockaddr *)&to, 10) == 0 || listen(ends[0], 1) == 0 || connect(ends[0], (sockaddr *)&to, 10) == 0);
  got("descriptors sent", sendmsg(ends[0], &message, 0) >= 0 || recvmsg(ends[0], &message, MSG_DONTWAIT) >= 0);
  got("buffers", setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, 4) == 0 || fcntl(1, F_SETPIPE_SZ, 1 << 20) > 0 || fcntl(1, 1033, 1) == 0);
  got("spliced", calls(SYS_splice) || calls(SYS_tee) || calls(SYS_vmsplice, 1, 0, 0, 0));
  got("ports", calls(SYS_ioperm, 0, 1, 1) || calls(SYS_iopl, 3) || calls(SYS_modify_ldt, 1, (long)room, 16));
  got("rules of its own", calls(444, 0, 0, 1) || calls(459) || calls(461));
  got("clock set", calls(SYS_adjtimex, (long)room) || calls(SYS_settimeofday, 0, 0) || calls(SYS_clock_adjtime, 0, (long)room));
  got("flushed", calls(SYS_sync) || calls(SYS_syncfs, kept) || calls(SYS_quotactl) || calls(SYS_vhangup));
  puts("END");
}
"""
