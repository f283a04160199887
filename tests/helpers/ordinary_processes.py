"""Bodies of `f()` that start, count and limit processes and threads, or look at the machine, the network and the clock."""

from __future__ import annotations

SECTIONS = r"""
## fork
import os
return met(os.fork)
## exec
import os
return met(lambda: os.execv('/bin/true', ['true'])), met(lambda: os.execvp('true', ['true']))
## exec python
import os, sys
return met(lambda: os.execv(sys.executable, [sys.executable, '-c', 'pass']))
## subprocess
import subprocess, sys
return met(lambda: subprocess.run(['ls'])), met(lambda: subprocess.check_output([sys.executable, '-V']))
## subprocess shell
import subprocess
return met(lambda: subprocess.getoutput('echo 1')), met(lambda: subprocess.Popen('true', shell=True))
## subprocess guarded
import subprocess
try:
 return subprocess.run(['no-such'], capture_output=True).stdout
except FileNotFoundError:
 return 'missing'
except OSError as e:
 return e.errno
## os.system
import os
return met(lambda: os.system('true')), met(lambda: os.popen('true').read()), met(lambda: os.posix_spawn('/bin/true', ['a'], {}))
## threads
import threading
return met(lambda: threading.Thread(target=int).start())
## thread pool
from concurrent.futures import ThreadPoolExecutor
return met(lambda: list(ThreadPoolExecutor(2).map(abs, [-1])))
## process pool
from concurrent.futures import ProcessPoolExecutor
return met(lambda: list(ProcessPoolExecutor(2).map(abs, [-1])))
## pool guarded
import multiprocessing
try:
 with multiprocessing.Pool(2) as p:
  return p.map(abs, [-1])
except (PermissionError, RuntimeError):
 return 'denied'
except OSError as e:
 return e.errno
## multiprocessing
import multiprocessing as m
return [met(g) for g in (m.Queue, m.Lock, m.Manager, m.Pipe, lambda: m.Process(target=int).start(), lambda: m.Value('i', 1))]
## semaphores
import multiprocessing as m
return [met(g) for g in (m.Semaphore, m.Event, m.Condition, m.RLock, m.JoinableQueue, lambda: m.Barrier(2))]
## shared memory
from multiprocessing import shared_memory
return met(lambda: shared_memory.SharedMemory(create=True, size=9)), met(lambda: shared_memory.SharedMemory('x'))
## cpu count
import os, multiprocessing
return os.cpu_count() == multiprocessing.cpu_count(), len(os.sched_getaffinity(0)) > 0
## asyncio
import asyncio
async def g(n):
 await asyncio.sleep(0.001)
 return n
async def h():
 return await asyncio.gather(*[g(n) for n in range(3)])
return asyncio.run(h())
## asyncio executor
import asyncio
async def h():
 return await asyncio.get_running_loop().run_in_executor(None, abs, -1)
return met(lambda: asyncio.run(h()))
## asyncio to_thread
import asyncio
async def h():
 return await asyncio.to_thread(abs, -1)
return met(lambda: asyncio.run(h()))
## asyncio process
import asyncio
return met(lambda: asyncio.run(asyncio.create_subprocess_exec('true')))
## signals
import signal
signal.signal(signal.SIGALRM, lambda *a: None)
signal.alarm(0)
signal.setitimer(signal.ITIMER_REAL, 0)
return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
## alarm
import signal, time
def late(*a):
 raise TimeoutError
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.01)
try:
 time.sleep(5)
except TimeoutError:
 return 'late'
## kill
import os, signal
return met(lambda: os.kill(os.getpid(), signal.SIGUSR1)), met(lambda: signal.raise_signal(signal.SIGUSR1)), met(os.abort) if 0 else 0
## resource
import resource
return (
 met(lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))),
 resource.getrlimit(resource.RLIMIT_CORE),
 resource.getrusage(resource.RUSAGE_SELF).ru_utime > 0
)
## recursion
import sys
sys.setrecursionlimit(5000)
def g(n):
 return 0 if n == 0 else 1 + g(n - 1)
return g(3000), met(lambda: g(6000))
## stack size
import threading
return met(lambda: threading.stack_size(1 << 26)), threading.active_count(), threading.current_thread().name
## user
import getpass, pwd, grp, os
return met(getpass.getuser), met(lambda: pwd.getpwnam('root')), met(lambda: grp.getgrgid(0)), met(os.getlogin), met(pwd.getpwall)
## environment
import os
return sorted(os.environ), os.getenv('HOME'), os.environ.get('USER', 'x'), os.path.expandvars('$HOME')
## platform
import platform, sys, os
return platform.system(), platform.machine() != '', sys.platform, os.name, met(platform.libc_ver)[0], sys.argv, platform.python_implementation()
## nice
import os
return met(lambda: os.nice(1)), met(lambda: os.setuid(0)), met(lambda: os.setsid()), met(lambda: os.umask(0)) is not None
## load
import os
return met(os.getloadavg) != 0, met(lambda: os.statvfs('/home')), met(lambda: os.sysconf('SC_PAGE_SIZE'))
## terminal
import os, shutil, sys
return met(os.get_terminal_size), tuple(shutil.get_terminal_size()), sys.stdin.isatty(), met(lambda: os.ttyname(0))
## termios
import termios, tty, sys
return met(lambda: termios.tcgetattr(0)), met(lambda: tty.setraw(sys.stdin))
## std streams
import sys
print('x'); sys.stderr.write('y'); sys.stdout.flush()
return met(input), sys.stdin.read(), sys.stdout.encoding, sys.getfilesystemencoding()
## fdopen
import os
r, w = os.pipe()
os.write(w, b'abc')
os.close(w)
return os.fdopen(r).read()
## dup
import os
return met(lambda: os.read(os.dup(0), 1)), met(lambda: os.fstat(0).st_mode), met(lambda: os.isatty(1))
## memfd
import os
return met(lambda: os.memfd_create('x'))
## ctypes
import ctypes, ctypes.util
libc = ctypes.CDLL(None)
return (
 libc.abs(-3),
 met(lambda: ctypes.util.find_library('c')),
 met(lambda: ctypes.CDLL('libc.so.6').labs(-2)),
 met(lambda: ctypes.CDLL('libnone.so'))
)
## faulthandler
import faulthandler
return met(faulthandler.enable), met(lambda: faulthandler.dump_traceback_later(99))
## tracemalloc
import tracemalloc, gc, weakref
tracemalloc.start()
tracemalloc.stop()
return gc.collect() >= 0
## socket
import socket
return met(socket.socket), met(lambda: socket.create_connection(('127.0.0.1', 9), 1)), met(lambda: socket.create_server(('', 0)))
## socketpair
import socket
a, b = socket.socketpair()
a.sendall(b'hi')
return b.recv(2)
## dns
import socket
return [met(lambda: socket.gethostbyname(h)) for h in ('localhost', 'example.com', '127.0.0.1')], met(lambda: socket.getaddrinfo('localhost', 80))
## names
import socket
return (
 met(lambda: socket.getservbyname('http')),
 met(lambda: socket.getprotobyname('tcp')),
 len(socket.gethostname()) > 0,
 met(lambda: socket.if_nameindex())
)
## urllib
import urllib.request
try:
 return urllib.request.urlopen('http://example.com', timeout=1).read()
except OSError as e:
 return type(e).__name__, str(e)
## urllib guarded
import urllib.request, urllib.error
try:
 urllib.request.urlopen('file:///etc/passwd')
except urllib.error.URLError as e:
 return type(e.reason).__name__
## http server
from http.server import HTTPServer, BaseHTTPRequestHandler
return met(lambda: HTTPServer(('', 0), BaseHTTPRequestHandler))
## ssl
import ssl
c = ssl.create_default_context()
return c.verify_mode.value, len(c.get_ca_certs()), ssl.get_default_verify_paths().cafile
## locale
import locale
return (
 [met(lambda: locale.setlocale(locale.LC_ALL, n)) for n in ('', 'C', 'C.UTF-8', 'en_US.UTF-8', 'de_DE', 'xx')],
 locale.getlocale(),
 locale.getpreferredencoding()
)
## format
import locale
locale.setlocale(locale.LC_ALL, '')
return locale.format_string('%d', 1234567, grouping=True), f'{1234567:n}', locale.currency(5) if 0 else 0
## gettext
import gettext
return gettext.gettext('x'), met(lambda: gettext.translation('x'))
## strftime
import time, datetime
return time.strftime('%A %Z', time.gmtime(0)), datetime.datetime(2020, 7, 1).astimezone().utcoffset().total_seconds(), time.tzname, time.timezone
## tzset
import os, time
os.environ['TZ'] = 'America/New_York'
time.tzset()
return time.tzname, time.localtime(0)[:6]
## zoneinfo
from datetime import datetime
from zoneinfo import ZoneInfo
return met(lambda: str(datetime(2020, 7, 1, tzinfo=ZoneInfo('America/New_York'))))
## zones
import zoneinfo
return met(lambda: len(zoneinfo.available_timezones()) >= 0), met(lambda: zoneinfo.ZoneInfo('No/Where')), zoneinfo.TZPATH
## clock
import time
t = time.time(), time.monotonic(), time.perf_counter(), time.process_time()
time.sleep(0.01)
return all(t), met(time.thread_time) is not None, met(lambda: time.clock_settime(0, 0))
## random seed
import random
random.seed(7)
return random.random(), hash('abc'), random.sample(range(9), 3)
## calendar
import calendar, datetime
return calendar.month_name[3], datetime.date(2024, 2, 29).strftime('%B %d'), met(lambda: datetime.datetime.strptime('1 May', '%d %b').month)
## tkinter
return met(lambda: __import__('tkinter').Tk()) == 'x'
## webbrowser
import webbrowser
return met(lambda: webbrowser.open('http://example.com'))
## help
import pydoc, io, contextlib
o = io.StringIO()
with contextlib.redirect_stdout(o):
 pydoc.doc(abs)
return 'absolute' in o.getvalue()
## warnings
import warnings, traceback
try:
 1 / 0
except ZeroDivisionError:
 t = traceback.format_exc()
warnings.warn('x')
return t.splitlines()[-1]
## pickle
import pickle, copy, marshal
return pickle.loads(pickle.dumps({1: [2]})), copy.deepcopy([1]), met(lambda: pickle.load(open('x.pkl', 'rb')))
## doctest
import doctest, sys
return tuple(doctest.testmod(sys.modules[__name__]))
## unittest
import unittest, io
class T(unittest.TestCase):
 def test(self): self.assertEqual(1, 1)
return unittest.TextTestRunner(io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromTestCase(T)).wasSuccessful()
"""
