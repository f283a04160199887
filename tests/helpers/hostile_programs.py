"""Programs in compiled languages that try to get out of a sandbox, and some that take more than their limits."""

from __future__ import annotations

from tests.helpers.hostile_calls import CALLS

CPP = r"""
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
extern char **environ;
static void got(const char *name, bool yes) { if (yes) printf("GOT %s\n", name); fflush(stdout); }
static bool reads(const char *path) { char c; int f = open(path, O_RDONLY); return f >= 0 && read(f, &c, 1) == 1; }
static bool writes(std::string path) { int f = open(path.c_str(), O_WRONLY | O_CREAT, 0600); return f >= 0 && write(f, "x", 1) == 1; }
int main() {
  sockaddr_in in{}; in.sin_family = AF_INET; in.sin_port = htons(PORT); in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  got("tcp", s >= 0 && connect(s, (sockaddr *)&in, sizeof in) == 0);
  got("udp", socket(AF_INET, SOCK_DGRAM, 0) >= 0);
  got("raw", socket(AF_PACKET, SOCK_RAW, 0) >= 0);
  got("netlink", socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
  got("unix", socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
  got("secret", reads("SECRET"));
  got("shadow", reads("/etc/shadow"));
  got("passwd", reads("/etc/passwd"));
  got("parent memory", reads("/proc/PARENT/mem") || reads("/proc/PARENT/environ"));
  got("write home", writes("HOME/marker"));
  for (const char *f : {"/tmp", "/var/tmp", "/dev/shm", "/", "/usr/bin", "."}) got(f, writes(std::string(f) + "/marker"));
  got("memfd", syscall(SYS_memfd_create, "m", 0) >= 0);
  got("mkdir", mkdir("/tmp/marker-folder", 0700) == 0);
  got("unlink", unlink("main.cpp") == 0);
  pid_t child = fork(); if (child == 0) _exit(0); got("fork", child > 0);
  pid_t quick = vfork(); if (quick == 0) _exit(0); got("vfork", quick > 0);
  got("system", system("true") == 0);
  got("raw clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0);
  got("clone of a namespace", syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0) >= 0);
  got("unshare", unshare(CLONE_NEWUSER) == 0);
  got("setns", setns(0, 0) == 0);
  got("mount", mount("none", "/tmp", "tmpfs", 0, "") == 0);
  got("chroot", chroot("/tmp") == 0);
  got("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 || ptrace(PTRACE_SEIZE, PARENT, 0, 0) == 0);
  got("signal the parent", kill(PARENT, 0) == 0 || kill(getppid(), 0) == 0);
  got("signal all", kill(-1, 0) == 0);
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY}; got("raise a limit", setrlimit(RLIMIT_DATA, &limit) == 0);
  got("io_uring", syscall(425, 1, 0) >= 0);
  got("bpf", syscall(SYS_bpf, 0, 0, 0) >= 0);
  got("perf", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0) >= 0);
  got("keyring", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 1) >= 0);
  got("userfaultfd", syscall(SYS_userfaultfd, 0) >= 0);
  got("process_vm_readv", syscall(SYS_process_vm_readv, PARENT, 0, 0, 0, 0, 0) >= 0);
  got("setuid", setuid(0) == 0 && getuid() == 0 && writes("/root/marker"));
  for (int f = 3; f < 1024; f++) got("inherited descriptor", fcntl(f, F_GETFD) >= 0 && f != s && lseek(f, 0, SEEK_CUR) >= 0);
  char letter = 'x'; got("terminal input", ioctl(0, TIOCSTI, &letter) == 0);
  got("pidfd", syscall(SYS_pidfd_open, PARENT, 0) >= 0);
  char arguments[88] = {}; got("clone3", syscall(435, arguments, sizeof arguments) >= 0);
  char handle[136] = {8}; got("file handle", syscall(SYS_open_by_handle_at, AT_FDCWD, handle, O_RDONLY) >= 0);
  got("symbolic link", symlink("SECRET", "/tmp/marker") == 0 || symlink("SECRET", "marker") == 0);
  got("hard link", link("SECRET", "/tmp/marker") == 0);
  got("device", mknod("/tmp/marker", S_IFCHR | 0600, makedev(1, 3)) == 0);
  got("rename", rename("SECRET", "HOME/marker") == 0);
  got("mode", chmod("SECRET", 0777) == 0);
  got("another root", reads("/proc/self/rootSECRET") || reads("/proc/1/rootSECRET"));
  got("shared memory", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) >= 0);
  got("watch", inotify_init() >= 0 && inotify_add_watch(inotify_init(), "HOME", IN_CREATE) >= 0);
  got("module", syscall(SYS_init_module, 0, 0, "") == 0 || syscall(SYS_kexec_load, 0, 0, 0, 0) == 0);
  got("host name", sethostname("marker", 6) == 0);
  char text[256];
  auto calls = [](long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) { return syscall(number, a, b, c, d, e) >= 0; };
  int ends[2]; pipe(ends);
  got("signals by a pipe", fcntl(ends[0], F_SETOWN, PARENT) == 0 || fcntl(ends[0], F_SETSIG, SIGKILL) == 0);
  rlimit none{0, 0}; got("limits of the parent", prlimit(PARENT, RLIMIT_CPU, &none, nullptr) == 0);
  got("signal a thread", calls(SYS_tkill, PARENT, 0) || calls(SYS_tgkill, PARENT, PARENT, 0) || calls(SYS_rt_sigqueueinfo, PARENT, 0, (long)text));
  got("signal the group", kill(0, 0) == 0);
  got("priority of the parent", setpriority(PRIO_PROCESS, PARENT, 19) == 0 || calls(SYS_ioprio_set, 1, PARENT, 3 << 13));
  cpu_set_t one; CPU_ZERO(&one); CPU_SET(0, &one); got("processors of the parent", sched_setaffinity(PARENT, sizeof one, &one) == 0);
  got("another session", setsid() > 0 || setpgid(0, PARENT) == 0);
  got("outlive the parent", prctl(PR_SET_PDEATHSIG, 0) == 0);
  got("capabilities", prctl(PR_CAPBSET_DROP, 0) == 0 || calls(SYS_capset, (long)text, (long)text) || setgroups(0, nullptr) == 0);
  got("truncate", truncate("SECRET", 0) == 0);
  got("times", utimensat(AT_FDCWD, "SECRET", nullptr, 0) == 0);
  got("owner", chown("SECRET", 1, 1) == 0 || lchown("SECRET", 1, 1) == 0);
  got("attributes", setxattr("SECRET", "user.marker", "x", 1, 0) == 0 || removexattr("SECRET", "user.marker") == 0);
  got("new mounts", calls(SYS_open_tree, AT_FDCWD, (long)"/", 1) || calls(SYS_fsopen, (long)"tmpfs") || calls(SYS_pivot_root, (long)"/tmp", (long)"/tmp"));
  got("watch the file system", calls(SYS_fanotify_init, 0, 0));
  got("descriptors of others", calls(SYS_pidfd_getfd, 3, 0, 0) || calls(SYS_kcmp, PARENT, PARENT, 0, 0, 0));
  got("memory of others", calls(SYS_process_vm_writev, PARENT) || calls(SYS_process_madvise, 3));
  got("queues", calls(SYS_msgget, 0, 01600) || calls(SYS_semget, 0, 1, 01600) || calls(SYS_mq_open, (long)"marker", O_CREAT | O_RDWR, 0600));
  timespec now{1, 0}; got("clock", clock_settime(CLOCK_REALTIME, &now) == 0);
  got("kernel", calls(SYS_syslog, 3, (long)text, 16) || calls(SYS_acct) || calls(SYS_swapon, (long)"SECRET") || calls(SYS_personality, 0x40000));
  for (const char *f : {"/dev/kmsg", "/dev/mem", "/dev/tty", "/dev/ptmx", "/dev/kvm", "/dev/fuse", "/dev/net/tun"}) got(f, open(f, O_RDWR) >= 0 || reads(f));
  got("kernel's names", reads("/proc/kallsyms") || reads("/proc/kcore"));
  got("links of the parent", readlink("/proc/PARENT/cwd", text, 255) > 0 || readlink("/proc/PARENT/fd/0", text, 255) > 0 || reads("/proc/PARENT/cmdline"));
  int held = open("SECRET", O_PATH); snprintf(text, sizeof text, "/proc/self/fd/%d", held); got("reopened", held >= 0 && reads(text));
  got("open by rules", calls(SYS_openat2, AT_FDCWD, (long)"SECRET", (long)handle, 24));
  got("rings", calls(SYS_io_setup, 8, (long)text));
  got("secret memory", calls(SYS_memfd_secret, 0));
  got("datagrams", socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  got("another instruction set", calls(SYS_getpid | 0x40000000));
  for (char **e = environ; *e; e++) got("environment", strstr(*e, "CODEACT_TEST_SECRET") != nullptr);
  puts("END");
}
"""
JAVASCRIPT = r"""
const fs = require('fs');
const tried = {
  spawn: () => { const r = require('child_process').spawnSync('/bin/true'); if (r.error) throw r.error; },
  secret: () => fs.readFileSync('SECRET'),
  passwd: () => fs.readFileSync('/etc/passwd'),
  write: () => fs.writeFileSync('HOME/marker', 'x'),
  here: () => fs.writeFileSync('marker', 'x'),
  tmp: () => fs.writeFileSync('/tmp/marker', 'x'),
  kill: () => process.kill(PARENT, 0),
  library: () => process.dlopen({exports: {}}, 'SECRET'),
  link: () => fs.symlinkSync('SECRET', '/tmp/marker'),
  listen: () => require('dgram').createSocket('udp4').bind(0, () => console.log('GOT udp')).on('error', () => {}) && (() => { throw 1; })(),
  folder: () => fs.readdirSync('HOME'),
  report: () => { if (!fs.existsSync(process.report.writeReport('/tmp/marker'))) throw 1; },
  inspector: () => { const i = require('inspector'); i.open(0); if (!i.url()) throw 1; },
  times: () => fs.utimesSync('SECRET', 2, 2),
  descriptor: () => fs.readFileSync('/proc/PARENT/environ'),
  user: () => process.setuid(1),
  priority: () => require('os').setPriority(PARENT, 19),
  environment: () => { if (!process.env.CODEACT_TEST_SECRET) throw 1; },
};
for (const [name, attack] of Object.entries(tried)) { try { attack(); console.log('GOT ' + name); } catch (e) {} }
const server = require('net').connect(PORT, '127.0.0.1');
server.on('connect', () => console.log('GOT tcp'));
server.on('error', () => {});
process.on('exit', () => console.log('END'));
"""
JAVA = r"""
import java.nio.file.*;
public class Main {
  interface Attack { void go() throws Throwable; }
  static void tries(String name, Attack attack) { try { attack.go(); System.out.println("GOT " + name); } catch (Throwable e) {} }
  public static void main(String[] a) {
    tries("tcp", () -> new java.net.Socket("127.0.0.1", PORT));
    tries("process", () -> new ProcessBuilder("/bin/true").start().waitFor());
    tries("secret", () -> Files.readString(Path.of("SECRET")));
    tries("passwd", () -> Files.readString(Path.of("/etc/passwd")));
    tries("write", () -> Files.writeString(Path.of("HOME/marker"), "x"));
    tries("here", () -> Files.writeString(Path.of("marker"), "x"));
    tries("tmp", () -> Files.writeString(Path.of("/tmp/marker"), "x"));
    tries("signal", () -> { if (!ProcessHandle.of(PARENT).get().destroy()) throw new Error(); });
    tries("listen", () -> new java.net.ServerSocket(0));
    tries("folder", () -> Files.list(Path.of("HOME")).count());
    tries("link", () -> Files.createSymbolicLink(Path.of("/tmp/marker"), Path.of("SECRET")));
    tries("memory", () -> Files.newByteChannel(Path.of("/proc/PARENT/mem")).read(java.nio.ByteBuffer.allocate(1)));
    tries("attach", () -> { if (ProcessHandle.allProcesses().anyMatch(p -> p.pid() == PARENT)) return; throw new Error(); });
    tries("times", () -> Files.setLastModifiedTime(Path.of("SECRET"), java.nio.file.attribute.FileTime.fromMillis(2000)));
    tries("truncate", () -> new java.io.RandomAccessFile("SECRET", "rw").setLength(0));
    tries("kill", () -> { if (!ProcessHandle.current().parent().get().destroyForcibly()) throw new Error(); });
    tries("library", () -> System.load("SECRET"));
    tries("unix", () -> java.nio.channels.ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX).bind(java.net.UnixDomainSocketAddress.of("/tmp/marker")));
    tries("datagram", () -> new java.net.DatagramSocket(0));
    tries("memory map", () -> new java.io.RandomAccessFile("/tmp/marker", "rw").getChannel().map(java.nio.channels.FileChannel.MapMode.READ_WRITE, 0, 9));
    tries("log", () -> new java.util.logging.FileHandler("/tmp/marker").flush());
    tries("environment", () -> System.getenv("CODEACT_TEST_SECRET").length());
    System.out.println("END");
  }
}
"""
GO = r"""
package main
import ("fmt"; "net"; "os"; "os/exec"; "syscall"; "testing")
func TestAttacks(t *testing.T) {
  got := func(name string, err error) { if err == nil { fmt.Println("GOT " + name) } }
  _, err := net.Dial("tcp", "127.0.0.1:PORT"); got("tcp", err)
  _, err = net.Listen("tcp", "127.0.0.1:0"); got("listen", err)
  _, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0); got("udp", err)
  got("process", exec.Command("/bin/true").Run())
  _, err = os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}}); got("namespace", err)
  _, err = os.ReadFile("SECRET"); got("secret", err)
  _, err = os.ReadDir("HOME"); got("folder", err)
  _, err = os.ReadFile("/etc/passwd"); got("passwd", err)
  _, err = os.ReadFile("/proc/PARENT/environ"); got("parent", err)
  got("write", os.WriteFile("HOME/marker", nil, 0600))
  got("here", os.WriteFile("marker", nil, 0600))
  got("tmp", os.WriteFile("/tmp/marker", nil, 0600))
  got("link", os.Symlink("SECRET", "/tmp/marker"))
  got("signal", syscall.Kill(PARENT, 0))
  got("trace", syscall.PtraceAttach(PARENT))
  got("truncate", os.Truncate("SECRET", 0))
  got("mode", os.Chmod("SECRET", 0777))
  got("owner", os.Chown("SECRET", 1, 1))
  _, err = net.Listen("unix", "/tmp/marker"); got("unix", err)
  got("limits", syscall.Setrlimit(syscall.RLIMIT_CPU, &syscall.Rlimit{Cur: 9, Max: 9}))
  _, err = syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_ANON); got("shared pages", err)
  if _, _, number := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0); number == 0 { fmt.Println("GOT raw clone") }
  got("root", syscall.Chroot("/tmp"))
  got("user", syscall.Setuid(1))
  got("mount", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
  if os.Getenv("CODEACT_TEST_SECRET") != "" { fmt.Println("GOT environment") }
  fmt.Println("END")
}
"""
RUST = r"""
use std::{env, fs, net::TcpStream, process::Command};
#[test]
fn attacks() {
    let got = |name: &str, yes: bool| if yes { println!("GOT {}", name) };
    got("tcp", TcpStream::connect("127.0.0.1:PORT").is_ok());
    got("process", Command::new("/bin/true").status().is_ok());
    got("secret", fs::read("SECRET").is_ok());
    got("passwd", fs::read("/etc/passwd").is_ok());
    got("write", fs::write("HOME/marker", "x").is_ok());
    got("here", fs::write("marker", "x").is_ok());
    got("tmp", fs::write("/tmp/marker", "x").is_ok());
    got("listen", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    got("udp", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    got("unix", std::os::unix::net::UnixStream::connect("/run/marker").is_ok() || std::os::unix::net::UnixDatagram::unbound().is_ok());
    got("folder", fs::read_dir("HOME").is_ok());
    got("link", std::os::unix::fs::symlink("SECRET", "/tmp/marker").is_ok());
    got("truncate", fs::OpenOptions::new().write(true).truncate(true).open("SECRET").is_ok());
    got("mode", fs::set_permissions("SECRET", std::os::unix::fs::PermissionsExt::from_mode(0o777)).is_ok());
    got("bind", std::os::unix::net::UnixListener::bind("/tmp/marker").is_ok());
    extern "C" { fn setsid() -> i32; fn kill(p: i32, s: i32) -> i32; fn fork() -> i32; fn mmap(a: usize, n: usize, p: i32, f: i32, d: i32, o: i64) -> isize; }
    got("session", unsafe { setsid() } > 0);
    got("signal", unsafe { kill(PARENT, 0) == 0 || kill(0, 0) == 0 });
    got("fork", unsafe { fork() } >= 0);
    got("stacks by hand", unsafe { mmap(0, 4096, 3, 0x122, -1, 0) } >= 0);
    #[cfg(target_arch = "x86_64")]
    unsafe { let r: i64; std::arch::asm!("syscall", inlateout("rax") 58i64 => r, out("rcx") _, out("r11") _); got("vfork", r >= 0); }
    got("environment", env::var("CODEACT_TEST_SECRET").is_ok());
    println!("END");
    panic!("so that the output is shown");
}
"""
# Name, whose first word is the language -> its files.
HOSTILE = {
    "cpp": {"main.cpp": CPP},
    "cpp calls": {"main.cpp": CALLS},
    "javascript": {"main.js": JAVASCRIPT},
    "java": {"Main.java": JAVA, "Run.java": "class Run { public static void main(String[] a) { Main.main(a); } }"},
    "rust": {"main.rs": RUST},
    "go": {"main_test.go": GO},
}
MAPPINGS = r"""
#include <sys/mman.h>
#include <cstring>
int main() { for (int i = 0; i < 5; i++) {
  void *p = mmap(0, 256 << 20, PROT_READ | PROT_WRITE, KIND | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return 7;
  memset(p, 1, 256 << 20);
} }
"""
BOMBS = {
    "memory": "#include <cstdlib>\n#include <cstring>\nint main() { for (;;) { char *p = (char *)malloc(1 << 28); if (!p) abort(); memset(p, 1, 1 << 28); } }",
    "threads": "#include <thread>\n#include <unistd.h>\nint main() { for (;;) std::thread([] { pause(); }).detach(); }",
    "forks": "#include <unistd.h>\nint main() { for (;;) if (fork() < 0) return 7; }",
    "loop": "#include <signal.h>\nint main() { signal(SIGXCPU, SIG_IGN); for (volatile int i = 0;; i++) {} }",
    "waits": "#include <unistd.h>\nint main() { for (;;) pause(); }",
    "output": "#include <cstdio>\nint main() { for (;;) puts(\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"); }",
    "templates": "template <int N> struct A { static constexpr int v = A<N + 1>::v + A<N + 2>::v; };\nint main() { return A<0>::v; }",
    "constant": "constexpr long f(long n) { long s = 0; for (long i = 0; i < n; i++) s += i; return s; }\nint main() { static_assert(f(1L << 60) > 0); }",
    "shared pages": MAPPINGS.replace("KIND", "MAP_SHARED"),
    "stacks by hand": MAPPINGS.replace("KIND", "MAP_PRIVATE | MAP_GROWSDOWN"),
    "32-bit calls": "int main() {\n#ifdef __x86_64__\nint r; asm volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(2)); return r < 0;\n#endif\nreturn 7; }",
    "longer stacks": """
#include <sys/mman.h>
#include <cstdint>
#include <cstring>
#include <unistd.h>
int main() {
  char here[1 << 16]; memset(here, 1, sizeof here);
  char *page = (char *)(((uintptr_t)here + 8191) & ~4095UL), *p = (char *)mremap(page, 4096, 3L << 30, MREMAP_MAYMOVE);
  if (p == MAP_FAILED) _exit(7);
  memset(p, 1, 3L << 30); _exit(0);
}""",
    "deep stack": """
#include <unistd.h>
volatile char *kept;
int deep(int n) { volatile char a[1 << 20]; for (int i = 0; i < 1 << 20; i += 4096) a[i] = 1; kept = a; if (!n) _exit(0); return deep(n - 1) + a[5]; }
int main() { return deep(1024); }""",
    "small threads": """
#include <pthread.h>
#include <unistd.h>
static void *waits(void *) { pause(); return nullptr; }
int main() {
  pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 16384); pthread_attr_setguardsize(&a, 0);
  pthread_t t; for (int n = 0; n < 4000 && pthread_create(&t, &a, waits, nullptr) == 0; n++) {}
  pause();
}""",
    "big array": "char a[3L << 30] = {1};\nint main() { return a[5]; }",
}

# Source files whose compiling would take more than there is, in each language.
DOUBLED = "".join(f"const a{n + 1} = a{n} + a{n}\n" for n in range(40))
COMPILE_BOMBS = {
    "cpp itself": {"main.cpp": "#include __FILE__\n#include __FILE__\nint main() {}"},
    "cpp repeated": {"main.cpp": 'asm(".rept 4000000000\\n.quad 1\\n.endr");\nint main() {}'},
    "cpp zeros": {"main.cpp": 'asm(".zero 0x7fffffffffff");\nint main() {}'},
    "rust macro": {"main.rs": '#![recursion_limit = "100000000"]\nmacro_rules! m { ($($t:tt)*) => { m!($($t)* $($t)* x) } }\nfn main() { m!(a b c); }'},
    "go texts": {
        "src/program/program.go": f'package program\nconst a0 = "xxxxxxxxxxxxxxxx"\n{DOUBLED}var S = a40\n',
        "main_test.go": 'package main\nimport (. "program"; "testing")\nfunc TestX(t *testing.T) { t.Log(len(S)) }',
    },
    "java texts": {
        "Main.java": "public class Main { " + f'static final String a0 = "{"x" * 64}"; '
        + "".join(f"static final String a{n + 1} = a{n} + a{n}; " for n in range(28)) + "public static void main(String[] a) { System.out.println(a28); } }",
        "Run.java": "class Run { public static void main(String[] a) { Main.main(a); } }",
    },
}  # fmt: skip
