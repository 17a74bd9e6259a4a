"""Hostile code by name: cheats that must score 0, and probes of the border that must be refused.

The cheats answer the problem "f doubles its argument" without doubling anything. Some of them rewarded their author on
graders that judge inside the process; a sandbox that only claims values rewards none.
"""

CHEATS = {
    "exit 0 at import": "import sys; sys.exit(0)",
    "os._exit 0 at import": "import os; os._exit(0)",
    "exit 0 in the call": "import sys\ndef f(x): sys.exit(0)",
    "os._exit 0 in the call": "import os\ndef f(x): os._exit(0)",
    "prints success and leaves": "import os\nprint('ALL PASSED', flush=True)\nos._exit(0)",
    "always equal": "class E:\n def __eq__(s, o): return True\n def __hash__(s): return 0\ndef f(x): return E()",
    "int that equals all": "class I(int):\n __eq__ = lambda *a: True\n __hash__ = int.__hash__\ndef f(x): return I(0)",
    "str that equals all": "class S(str):\n __eq__ = lambda *a: 1\n __hash__ = str.__hash__\ndef f(x): return S('6')",
    "walks frames for the expected value": (
        "import sys\ndef f(x):\n fr = sys._getframe()\n while fr:\n"
        "  for v in list(fr.f_locals.values()):\n   if isinstance(v, dict) and 'expected' in v: return v['expected']\n"
        "  for k in ('expected', 'want', 'answer'):\n   if k in fr.f_locals: return fr.f_locals[k]\n  fr = fr.f_back\n"
    ),
    "hunts the heap for tests": (
        "import gc\ndef f(x):\n for o in gc.get_objects():\n"
        "  if isinstance(o, dict) and 'test_cases' in o: return o['test_cases']\n return None"
    ),
    "patches json": "import json\njson.dumps = json.loads = lambda *a, **k: '6'\ndef f(x): return None",
    "patches builtins": (
        "import builtins\nbuiltins.type = lambda *a: int\nbuiltins.str = lambda *a: '6'\n"
        "builtins.len = lambda *a: 0\nbuiltins.mark = 1\n"
        "def f(x): return None"
    ),
    "replaces stdout": (
        "import sys\nclass W:\n def write(s, t): return 0\n def flush(s): raise SystemExit(0)\n"
        "sys.stdout = W()\ndef f(x): return 0"
    ),
    "forges a garbage frame": "import os\nos.write(3, b'garbage that is no frame at all')\ndef f(x): return 0",
    "forges an oversize frame": "import os\nos.write(3, (2**31).to_bytes(4, 'big') + b'x' * 100)\ndef f(x): return 0",
    "forges a verdict": (
        "import os\nfor k in ('passed', 'verdict', 'call'):\n p = (k + '\\npassed\\n\\n1.0').encode()\n"
        " os.write(3, len(p).to_bytes(4, 'big') + p)\ndef f(x): return 0"
    ),
    "forges a timeout": (
        "import os\np = b'call\\ntimeout\\n\\n6'\nos.write(3, len(p).to_bytes(4, 'big') + p)\ndef f(x): return 0"
    ),
    "forges too many frames": (
        "import os\np = b'call\\nok\\n\\n0'\nfor _ in range(10**5): os.write(3, len(p).to_bytes(4, 'big') + p)\n"
        "def f(x): return 0"
    ),
    "forges done before the calls": (
        "import os\np = b'done\\nok\\n\\n0'\nos.write(3, len(p).to_bytes(4, 'big') + p)\ndef f(x): return 0"
    ),
    "forges undecodable bytes": "import os\nos.write(3, b'\\0\\0\\0\\4\\xff\\xfe\\xff\\xff')\ndef f(x): return 0",
    "closes the channel": "import os\nos.close(3)\ndef f(x): return 0",
    "returns ten million items": "def f(x): return list(range(10**7))",
    "returns a deep list": "def f(x):\n a = []\n for _ in range(10**5): a = [a]\n return a",
    "returns itself for ever": "def f(x):\n a = []\n a.append(a)\n return a",
    "returns a giant int": "def f(x): return 10**(10**6)",
    "returns nan": "def f(x): return float('nan')",
    "returns infinity": "def f(x): return float('inf')",
    "returns a pickle bomb": "class B:\n def __reduce__(s): return (print, ('boom',))\ndef f(x): return B()",
    "returns a type that lies of its name": (
        "class M(type):\n __name__ = property(lambda s: 1 / 0)\nclass C(metaclass=M): pass\ndef f(x): return C()"
    ),
    "returns colliding ints": "def f(x): return {k * (2**61 - 1) for k in range(16000)}",
    "mutates its argument": "def f(x):\n x += x",
    "raises what cannot be printed": "class X(Exception):\n def __str__(s): raise s\ndef f(x): raise X()",
    "raises what lies of its name": "class X(BaseException):\n __name__ = property(lambda s: 1/0)\ndef f(x): raise X()",
    "settrace jump": "import sys\nsys.settrace(lambda *a: None)\ndef f(x): return None",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit(0)",
    "excepthook": "import sys\nsys.excepthook = lambda *a: None\ndef f(x): raise ValueError",
    "sets an exhausted recursion limit": "import sys\nsys.setrecursionlimit(60)\ndef f(x): return f(x)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "segfault": "import ctypes\nctypes.string_at(0)\ndef f(x): return 6",
    "thread prints the verdict": (
        "import threading, os\nthreading.Thread(target=lambda: os._exit(0)).start()\ndef f(x): return 0"
    ),
    "forks and leaves": "import os\nif os.fork(): os._exit(0)\ndef f(x): return 0",
    "memory bomb": "def f(x):\n a = []\n while True: a.append(bytearray(10**7))",
    "fork bomb": "import os\ndef f(x):\n while True:\n  try: os.fork()\n  except OSError: return 'no'",
    "output flood": "def f(x):\n while True: print('x' * 1000)",
    "error flood": "import os\ndef f(x):\n while True: os.write(2, b'x' * 1000)",
    "jumps over its own lines": (
        "import sys\ndef t(frame, event, arg):\n if event == 'line':\n  try: frame.f_lineno = 9\n"
        "  except ValueError: pass\n return t\nsys.settrace(t)\ndef f(x):\n return 0\n return 6"
    ),
    "rewrites its caller's code": (
        "import sys\ndef g(*a): return (6,)\ndef f(x):\n fr = sys._getframe(1)\n for k, v in fr.f_globals.items():\n"
        "  if hasattr(v, '__code__') and k in ('result_of', 'encode', 'send'):\n   v.__code__ = g.__code__\n return 0"
    ),
    "patches the runner's modules": (
        "import sys\nfor m in list(sys.modules.values()):\n for k in ('encode', 'send', 'same_value', 'decode'):\n"
        "  if hasattr(m, k):\n   try: setattr(m, k, lambda *a, **o: '80')\n"
        "   except (AttributeError, TypeError): pass\n"
        "def f(x): return 0"
    ),
    "patches every os.write": (
        "import os\nreal = os.write\n"
        "os.write = lambda fd, b: real(fd, bytes(b).replace(b'wrong', b'passed')) or len(b)\n"
        "def f(x): return 'wrong'"
    ),
    "overwrites small integers": (
        "import ctypes\nfor n in range(5, 80): ctypes.c_long.from_address(id(n) + 24).value = 6\ndef f(x): return 5"
    ),
    "writes to every descriptor": (
        "import os\nfor d in range(64):\n try: os.write(d, b'PASSED 3/3 reward 1.0\\n')\n except OSError: pass\n"
        "def f(x): return 0"
    ),
    "reads its own channel": "import os\ndef f(x): return os.read(3, 10).decode()",
    "reads stdin for the tests": "import sys\ndef f(x): return sys.stdin.read()",
    "reads test files": (
        "import os\ndef f(x):\n found = []\n for top in ('/', '/tmp', '.', os.path.dirname(os.__file__)):\n"
        "  for here, _, names in os.walk(top):\n   found += [n for n in names if 'test' in n and 'skyscale' in here]\n"
        "   if here.count('/') > 5: break\n return len(found) and 6"
    ),
    "plants a conftest": "open('/tmp/conftest.py', 'w').write('assert_ok = 1')\ndef f(x): return 0",
    "plants a sitecustomize": (
        "import os, sys\nfor p in sys.path:\n try: open(os.path.join(p, 'sitecustomize.py'), 'w').write('x = 1')\n"
        " except OSError: pass\ndef f(x): return 0"
    ),
    "duplicate keys": (
        'import os\np = b\'call\\nok\\n\\n{"f":"0x1.8p+2","f":"0x1.4p+6"}\'\n'
        "for _ in range(3): os.write(3, len(p).to_bytes(4, 'big') + p)\ndef f(x): return 0"
    ),
    "a forged frame with every value": (
        "import os\nfor v in (b'6,80', b'6 or 80', b'*', b'null', b'[6,80]', b'\"abab\"6'):\n"
        " p = b'call\\nok\\n\\n' + v\n os.write(3, len(p).to_bytes(4, 'big') + p)\nos._exit(0)"
    ),
    "a generator": "def f(x):\n while True: yield x",
    "a coroutine": "async def f(x): return x * 2",
    "a lazy lie": "class L(list):\n def __iter__(s): return iter([6])\n def __len__(s): return 1\ndef f(x): return L()",
    "a dict that lies": "class D(dict):\n def items(s): return [('a', 6)]\ndef f(x): return D()",
    "a float that is close to all": (
        "class F(float):\n def hex(s): return '0x1.8p+2'\n def __sub__(s, o): return 0\ndef f(x): return F()"
    ),
    "ten megabytes of text": "def f(x): return 'x' * 10**7",
    "colliding keys": "def f(x): return {k * (2**61 - 1): 1 for k in range(16000)}",
    "a set of nans": "def f(x): return {float('nan') for _ in range(9)}",
    "gc callbacks": "import gc, os\ngc.callbacks.append(lambda *a: os._exit(0))\ngc.collect()\ndef f(x): return 0",
    "audit hook": "import sys, os\nsys.addaudithook(lambda *a: None)\ndef f(x): return 0",
    "import hook": (
        "import sys\nclass H:\n def find_spec(s, *a): raise SystemExit(0)\nsys.meta_path.insert(0, H())\n"
        "import colorsys\ndef f(x): return 0"
    ),
    "profile exit": "import sys, os\nsys.setprofile(lambda *a: os._exit(0))\ndef f(x): return 0",
    "finalizer exit": "import os\nclass D:\n def __del__(s): os._exit(0)\ndef f(x):\n D()\n return 0",
    "signal exit": "import signal, os\nsignal.signal(14, lambda *a: os._exit(0))\nsignal.alarm(1)\ndef f(x): return 0",
    "kills itself": "import os\nos.kill(os.getpid(), 9)\ndef f(x): return 6",
    "aborts": "import os\ndef f(x): os.abort()",
    "thread bomb": (
        "import threading\ndef f(x):\n n = 0\n try:\n  while True:\n"
        "   threading.Thread(target=f, args=(x,)).start(); n += 1\n"
        " except RuntimeError: return n"
    ),
    "descriptor bomb": "import os\ndef f(x):\n n = []\n while True: n.append(os.open('/dev/null', 0))",
    "inode bomb": (
        "def f(x):\n n = 0\n try:\n  while True:\n   open(f'/tmp/{n}', 'w').close()\n   n += 1\n"
        " except OSError: return n"
    ),
    "scratch bomb": (
        "def f(x):\n n = 0\n try:\n  while True:\n   open(f'/tmp/{n}', 'wb').write(bytes(10**6))\n   n += 1\n"
        " except OSError: return n"
    ),
    "folder bomb": "import os\ndef f(x):\n while True:\n  os.mkdir('d')\n  os.chdir('d')",
    "pipe bomb": "import os\ndef f(x):\n n = []\n while True: n.append(os.pipe())",
    "mmap bomb": "import mmap\ndef f(x):\n n = []\n while True: n.append(mmap.mmap(-1, 10**8))",
    "daemon": (
        "import os, time\ndef f(x):\n if os.fork() == 0:\n  os.setsid()\n"
        "  if os.fork() == 0: time.sleep(60)\n  os._exit(0)\n"
        " return 0"
    ),
    "NUL byte": "def f(x): return 6\0",
    "lone surrogate": "def f(x): return '\ud800'",
    "lone surrogate in the source": "# \udcff\ndef f(x): return 0",
    "parser bomb": "x = " + "(" * 9000,
    "compiler bomb": "def f(x): return " + "-" * 20000 + "x",
    "no function": "g = 1",
    "not a function": "f = 6",
    "empty": "",
}

LEAVES_THINGS = (
    "plants a conftest", "plants a sitecustomize", "inode bomb", "scratch bomb", "daemon", "patches builtins",
    "overwrites small integers", "patches the runner's modules", "memory bomb", "forks and leaves", "kills itself",
)  # fmt: skip
"""Those that leave something behind, were it possible."""

HANGS = {
    "endless loop": "def f(x):\n while True: pass",
    "endless loop at import": "while True: pass",
    "sleep": "import time\ndef f(x): time.sleep(60)",
    "ignores every signal": (
        "import signal\nfor s in range(1, 65):\n try: signal.signal(s, signal.SIG_IGN)\n"
        " except (OSError, ValueError): pass\ndef f(x):\n while True: pass"
    ),
    "swallows everything": "def f(x):\n while True:\n  try:\n   while True: pass\n  except BaseException: pass",
    "huge power": "def f(x): return (10**10**7) % 7 and 10**(10**8)",
    "long sum": "def f(x): return sum(range(10**12))",
    "sleeps in a signal": (
        "import signal, time\nsignal.signal(14, lambda *a: time.sleep(60))\nsignal.alarm(1)\ndef f(x): time.sleep(9)"
    ),
    "waits for input that never comes": "import os\ndef f(x): r, w = os.pipe(); return os.read(r, 1)",
    "a lock taken twice": "import threading\ndef f(x):\n k = threading.Lock(); k.acquire(); k.acquire()",
    "endless finally": "def f(x):\n while True:\n  try: raise KeyError\n  finally: continue",
    "regex that backtracks": "import re\ndef f(x): return re.match(r'(a+)+$', 'a' * 40 + 'b')",
}

TRY = """
import os, sys
def tried(action):
    try:
        return repr(action())[:200]
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        return 'refused'
def libc(number, *args):
    import ctypes
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), 'refused')
    return 'allowed'
"""

REFUSED = {
    "read /etc/shadow": "open('/etc/shadow').read()",
    "read /etc/passwd": "open('/etc/passwd').read()",
    "list /var": "os.listdir('/var')",
    "list /home": "os.listdir('/home')",
    "its own proc": "open('/proc/self/environ').read()",
    "init's environment": "open('/proc/1/environ').read()",
    "list processes": "os.listdir('/proc')",
    "list /sys": "os.listdir('/sys')",
    "write to the library": "open(os.__file__, 'a')",
    "write at the root": "open('/x', 'w')",
    "execute": "os.execv('/bin/sh', ['sh'])",
    "execute the interpreter": "os.execv(sys.executable, [sys.executable])",
    "internet socket": "__import__('socket').socket()",
    "unix socket": "__import__('socket').socket(1)",
    "netlink socket": "__import__('socket').socket(16, 3, 0)",
    "connect home": "__import__('socket').create_connection(('127.0.0.1', 8080))",
    "subprocess": "__import__('subprocess').run(['true'])",
    "fork": "os.fork()",
    "thread": "__import__('threading').Thread(target=print).start()",
    "kill group": "os.kill(0, 9)",
    "kill all": "os.kill(-1, 9)",
    "kill parent": "os.kill(os.getppid() or 2, 9)",
    "symlink": "os.symlink('/etc/shadow', '/tmp/s')",
    "hard link": "os.link(os.__file__, '/tmp/l')",
    "chroot": "os.chroot('/tmp')",
    "change owner": "os.chown('/tmp', 1, 1)",
    "become root": "os.setuid(0)",
    "nice": "os.nice(-5)",
    "memfd": "os.memfd_create('x')",
    "raise the memory limit": "__import__('resource').setrlimit(9, (-1, -1))",
    "make a device": "os.mknod('/tmp/d', 0o20666, 259)",
    "unshare": "libc(272, 0x10000000)",
    "mount": "libc(165, b'x', b'/tmp', b'tmpfs', 0, 0)",
    "ptrace": "libc(101, 0, 0, 0, 0)",
    "bpf": "libc(321, 0, 0, 0)",
    "io_uring": "libc(425, 1, 0)",
    "keyctl": "libc(250, 0, 0, 0)",
    "userfaultfd": "libc(323, 0)",
    "perf": "libc(298, 0, 0, -1, -1, 0)",
    "process_vm_readv": "libc(310, 1, 0, 0, 0, 0, 0)",
    "pidfd_open": "libc(434, 1, 0)",
    "shared memory": "libc(29, 1, 4096, 0o1600)",
    "message queue": "libc(240, b'q', 0o102, 0o600, 0)",
    "clone into a user namespace": "libc(56, 0x10000011, 0, 0, 0, 0)",
    "clone3": "libc(435, 0, 0)",
    "x32 getpid": "libc(0x40000000 + 39)",
    "another personality": "libc(135, 0x0040000)",
    "open by handle": "libc(304, 0, 0, 0)",
    "setns": "libc(308, 3, 0)",
    "pivot_root": "libc(155, b'/tmp', b'/tmp')",
    "module": "libc(175, 0, 0, 0)",
    "reboot": "libc(169, 0, 0, 0)",
}
"""Expressions; the call numbers are x86_64's."""
