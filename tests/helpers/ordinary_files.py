"""Bodies of `f()` that read and write files and folders, or what looks like one."""

from __future__ import annotations

SECTIONS = r"""
## read missing
try:
 return open('data.txt').read()
except FileNotFoundError:
 return 'missing'
## read missing absolute
return met(lambda: open('/data/input.csv').read())
## read passwd
try:
 return len(open('/etc/passwd').read()) > 0
except FileNotFoundError:
 return 'missing'
## read hosts
return met(lambda: open('/etc/hosts').read())
## read os-release
import platform
return met(platform.freedesktop_os_release)
## read proc
return [met(lambda: open(p).read(1)) for p in ('/proc/cpuinfo', '/proc/self/status', '/proc/meminfo', '/sys/kernel/mm')]
## read home
import os
return met(lambda: open(os.path.expanduser('~/.bashrc')).read(1)), os.path.expanduser('~')
## read a folder
return met(lambda: open('/').read()), met(lambda: open('/usr').read())
## write here
return met(lambda: open('out.txt', 'w').write('x'))
## write tmp
return met(lambda: open('/tmp/out.txt', 'w').write('x'))
## write guarded
try:
 open('log.txt', 'a').write('x')
except PermissionError:
 return 'denied'
except OSError as e:
 return e.errno
## write missing folder
return met(lambda: open('/no/such/out.txt', 'w'))
## exclusive
return met(lambda: open('new.txt', 'x')), met(lambda: open('/usr/lib/new', 'x'))
## append library
import os
return met(lambda: open(os.__file__, 'a')), met(lambda: open(os.__file__, 'r+'))
## os.open
import os
return [met(lambda: os.open(p, m)) for p in ('a', '/etc/group', '/tmp/a') for m in (os.O_RDONLY, os.O_CREAT | os.O_WRONLY)]
## FileIO
import io
return met(lambda: io.FileIO('/etc/passwd')), met(lambda: io.open('/etc/passwd')), met(lambda: io.open_code('/etc/passwd'))
## pathlib
from pathlib import Path
return met(lambda: Path('/etc/passwd').read_text()), met(lambda: Path('a').write_text('b')), Path('/etc').exists()
## pathlib missing
from pathlib import Path
return Path('/etc/passwd').is_file(), Path('/tmp').is_dir(), Path('/home').exists(), Path('/').is_dir()
## exists
import os
return [os.path.exists(p) for p in ('/etc/passwd', '/etc', '/tmp', '/home', '/root', '/proc', '/sys', '/dev', '/dev/null', '/usr', '/bin/sh', '/var')]
## stat
import os
return met(lambda: os.stat('/etc/passwd').st_size), met(lambda: os.lstat('/proc')), met(lambda: os.access('/etc/passwd', os.R_OK))
## access
import os
return [os.access(p, m) for p in ('/', '/usr', os.__file__, '/tmp', '.') for m in (os.F_OK, os.R_OK, os.W_OK)]
## getsize
import os
return met(lambda: os.path.getsize('/etc/passwd')), met(lambda: os.path.getmtime('/home'))
## readlink
import os
return met(lambda: os.readlink('/proc/self')), met(lambda: os.path.realpath('/etc/../usr/x'))
## listdir
import os
return [met(lambda: len(os.listdir(p)) >= 0) for p in ('.', '/', '/etc', '/tmp', '/home', '/usr')]
## scandir
import os
return met(lambda: [e.name for e in os.scandir('.')]), met(lambda: [e.name for e in os.scandir('/etc')])
## walk
import os
return [len(list(os.walk(p))) for p in ('.', '/etc', '/home', '/tmp')]
## glob
import glob
return glob.glob('*'), glob.glob('/etc/*'), glob.glob('/home/*/*'), glob.glob('**/*.py', recursive=True)
## rglob
from pathlib import Path
return met(lambda: sorted(Path('/etc').rglob('*.conf'))), met(lambda: len(list(Path('.').glob('*'))))
## mkdir
import os
return met(lambda: os.mkdir('a')), met(lambda: os.makedirs('/tmp/a/b', exist_ok=True)), met(lambda: os.rmdir('/tmp'))
## remove
import os
return met(lambda: os.remove('a')), met(lambda: os.remove('/etc/passwd')), met(lambda: os.rename('a', 'b'))
## chdir
import os
return met(lambda: os.chdir('/tmp')), met(lambda: os.chdir('/etc')), met(lambda: os.chdir('/usr/lib')), os.getcwd()
## shutil
import shutil, os
return met(lambda: shutil.copy(os.__file__, 'x.py')), met(lambda: shutil.rmtree('/tmp/x')), shutil.which('ls')
## chmod
import os
return met(lambda: os.chmod('/usr', 0o777)), met(lambda: os.symlink('a', 'b')), met(lambda: os.utime('/usr'))
## tempfile
import tempfile
return met(lambda: tempfile.NamedTemporaryFile('w')), met(lambda: tempfile.mkdtemp()), met(tempfile.gettempdir)
## spooled
import tempfile
with tempfile.SpooledTemporaryFile(max_size=99) as s:
 s.write(b'ab'); s.seek(0); return s.read()
## null
import os
with open(os.devnull, 'w') as n:
 n.write('x')
return open('/dev/null').read(), open('/dev/null', 'r+b').write(b'a'), os.path.exists('/dev/null')
## urandom
import os, secrets, random, uuid
return (
 len(os.urandom(4)),
 len(open('/dev/urandom', 'rb').read(3)),
 len(secrets.token_hex(4)),
 random.SystemRandom().random() < 1,
 len(str(uuid.uuid4()))
)
## devices
return [met(lambda: open(p, 'rb').read(1)) for p in ('/dev/zero', '/dev/random', '/dev/tty', '/dev/full', '/dev/stdin', '/dev/fd/0', '/dev/shm')]
## own source
import inspect, sys
return met(lambda: open(__file__).read()), met(lambda: inspect.getsource(f))
## library source
import json, inspect
return len(inspect.getsource(json)) > 9, len(open(json.__file__).read()) > 9
## sqlite memory
import sqlite3
c = sqlite3.connect(':memory:')
c.execute('create table t(a)')
c.execute('insert into t values (1)')
return c.execute('select * from t').fetchall()
## sqlite file
import sqlite3
return met(lambda: sqlite3.connect('/tmp/x.db').execute('create table t(a)')), met(lambda: sqlite3.connect('x.db'))
## shelve
import shelve
return met(lambda: shelve.open('x'))
## logging
import logging
return met(lambda: logging.FileHandler('x.log')), met(lambda: logging.basicConfig(filename='/tmp/x.log'))
## zip
import zipfile, io
b = io.BytesIO()
zipfile.ZipFile(b, 'w').writestr('a', 'b')
return len(b.getvalue()), met(lambda: zipfile.ZipFile('x.zip'))
## mmap
import mmap
m = mmap.mmap(-1, 10)
m[0:2] = b'ab'
return m[:2]
## mimetypes
import mimetypes
return mimetypes.guess_type('a.html'), mimetypes.guess_type('a.png')
## mailcap
import netrc, configparser
c = configparser.ConfigParser()
return c.read(['/etc/x.ini', 'a.ini', '/etc/passwd']), met(netrc.netrc)
## fileinput
import fileinput
return met(lambda: list(fileinput.input(['/etc/passwd'])))
## linecache
import linecache
return linecache.getline('/etc/passwd', 1), linecache.getline('x', 1)
## filecmp
import filecmp
return met(lambda: filecmp.cmp('/etc/passwd', '/etc/passwd'))
"""
