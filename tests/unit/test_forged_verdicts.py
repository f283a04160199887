"""Programs of compiled languages that want to pass without solving the task: each fails, in either backend.

Every attack is a function body that is wrong, or the answer around it; what it prints and how it ends is its own choice.
"""

from __future__ import annotations

import pytest

from codeact.evaluation import languages
from codeact.evaluation.sets import humanevalpack
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing

TESTS = {
    "cpp": "#undef NDEBUG\n#include<assert.h>\nint main(){ assert(twice(2) == 4); }\n",
    "rust": "#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn test_twice() { assert_eq!(twice(2), 4); } }\n",
    "go": "func TestTwice(t *testing.T) {\n    assert := assert.New(t)\n    assert.Equal(4, Twice(2))\n}\n",
    "java": "public class Main { public static void main(String[] args) { if (new Solution().twice(2) != 4) throw new AssertionError(); } }\n",
    "javascript": "console.assert(JSON.stringify([twice(2)]) === JSON.stringify([4]))\n",
}
SETUP = {"go": 'package main\n\nimport (\n    "testing"\n    "github.com/stretchr/testify/assert"\n)\n'}
RIGHT = {
    "cpp": "int twice(int x) { return 2 * x; }",
    "rust": "fn twice(x: i32) -> i32 { 2 * x }",
    "go": "func Twice(x int) int { return 2 * x }",
    "java": "class Solution { int twice(int x) { return 2 * x; } }",
    "javascript": "const twice = x => 2 * x;",
}
RUST_SAYS = 'println!("test tests::test_twice ... ok\\n\\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");'
GO_SAYS = 'fmt.Println("--- PASS: TestTwice (0.00s)\\nPASS")'
CPP_WRONG = "int twice(int x) { return x; }"
RUST_WRONG = "fn twice(x: i32) -> i32 { x }"
GO_WRONG = "func Twice(x int) int { return x }"
FORGED = {
    "cpp": {
        "a macro over the assertion": "#define __assert_fail(...) ((void)0)\nint twice(int x) { return x; }",
        "a macro over bool": "struct Yes { template <class T> Yes(T) {} operator int() { return 1; } bool operator!() { return false; } };\n"
        "int twice(int x) { return x; }\n%: /* */ def\\\nine bool Yes",
        "exit in a static constructor": f"struct A {{ A() {{ exit(0); }} }} a;\n{CPP_WRONG}",
        "constructor attribute": f"__attribute__((constructor)) void a() {{ puts(\"PASS\"); fflush(stdout); _Exit(0); }}\n{CPP_WRONG}",
        "ends in atexit": f"#include <unistd.h>\nstruct A {{ A() {{ atexit([] {{ _exit(0); }}); }} }} a;\n{CPP_WRONG}",
        "abort caught": f"#include <csignal>\nstruct A {{ A() {{ signal(SIGABRT, [](int) {{ _Exit(0); }}); }} }} a;\n{CPP_WRONG}",
        "terminate handler": "#include <exception>\nint twice(int x) { std::set_terminate([] { _Exit(0); }); throw 1; }",
        "an assert of its own": f"#define assert(x) ((void)0)\n#define NDEBUG\n{CPP_WRONG}",
        "the failure of an assertion": f'extern "C" void __assert_fail(const char *, const char *, unsigned, const char *) noexcept {{ _Exit(0); }}\n{CPP_WRONG}',
        "abort of its own": f'extern "C" void abort() noexcept {{ _Exit(0); }}\n{CPP_WRONG}',
        "kills its parent": "#include <csignal>\n#include <unistd.h>\nint twice(int x) { kill(getppid(), SIGKILL); kill(-1, SIGKILL); _Exit(0); }",
        "writes over its file": '#include <fcntl.h>\n#include <unistd.h>\nint twice(int x) { int f = open("main", O_WRONLY | O_TRUNC); '
        'if (f < 0) unlink("main"); _exit(f < 0 ? 0 : write(f, "x", 1)); }',
        "another program in its place": '#include <unistd.h>\nint twice(int x) { char *a[] = {(char *)"/bin/echo", (char *)"PASS", 0}; execv(a[0], a); _exit(0); }',
        "its memory by /proc": '#include <fstream>\n#include <iterator>\n'
        'int twice(int x) { for (auto p : {"/proc/self/exe", "/proc/self/mem", "/proc/self/maps", "/proc/self/cmdline", '
        '"/proc/self/environ"}) { std::ifstream f(p); if (f) std::cout << std::string(std::istreambuf_iterator<char>(f), {}); } std::cout.flush(); _Exit(0); }',
    },
    "rust": {
        "says so and exits": f"fn twice(x: i32) -> i32 {{ {RUST_SAYS} std::process::exit(0) }}",
        "past the capture": 'fn twice(x: i32) -> i32 { use std::io::Write; std::io::stdout().write_all(b"\\ntest result: ok. 1 passed; 0 failed\\n").unwrap(); '
        "std::io::stdout().flush().unwrap(); std::process::exit(0) }",
        "before main": f'extern "C" fn early() {{ {RUST_SAYS} std::process::exit(0) }}\n#[used]\n#[link_section = ".init_array"]\n'
        f'static EARLY: extern "C" fn() = early;\n{RUST_WRONG}',
        "panic hook": f"fn twice(x: i32) -> i32 {{ std::panic::set_hook(Box::new(|_| {{ {RUST_SAYS} std::process::exit(0) }})); x }}",
        "assertions of its own": f"macro_rules! assert_eq {{ ($($t:tt)*) => {{}} }}\n{RUST_WRONG}",
        "exported assertions": f"#[macro_export]\nmacro_rules! assert_eq {{ ($($t:tt)*) => {{}} }}\n{RUST_WRONG}",
        "tells while it unwinds": f"struct A;\nimpl Drop for A {{ fn drop(&mut self) {{ {RUST_SAYS} std::process::exit(0) }} }}\n"
        "fn twice(x: i32) -> i32 { let _a = A; panic!() }",
        "a test of its own": f"#[test]\nfn fine() {{ {RUST_SAYS} std::process::exit(0) }}\n{RUST_WRONG}",
    },
    "go": {
        "says so and exits": f'import "fmt"\nimport "os"\nfunc Twice(x int) int {{ {GO_SAYS}; os.Exit(0); return x }}',
        "init": f'import "fmt"\nimport "os"\nfunc init() {{ {GO_SAYS}; os.Exit(0) }}\n{GO_WRONG}',
        "TestMain": f'import "fmt"\nimport "os"\nfunc TestMain(m *testing.M) {{ {GO_SAYS}; os.Exit(0) }}\n{GO_WRONG}',
        "a failure left out": f'import "fmt"\nimport "os"\nfunc TestMain(m *testing.M) {{ m.Run(); {GO_SAYS}; os.Exit(0) }}\n{GO_WRONG}',
        "ends its goroutine": f'import "fmt"\nimport "runtime"\nfunc Twice(x int) int {{ {GO_SAYS}; runtime.Goexit(); return x }}',
        "kills its parent": 'import "syscall"\nimport "os"\nfunc Twice(x int) int { syscall.Kill(os.Getppid(), 9); os.Exit(0); return x }',
    },
    "java": {
        "exit in a static block": 'class Solution { static { System.out.println("PASS"); System.exit(0); } int twice(int x) { return x; } }',
        "halt": "class Solution { int twice(int x) { Runtime.getRuntime().halt(0); return x; } }",
        "a handler of what is thrown": "class Solution { int twice(int x) { "
        "Thread.setDefaultUncaughtExceptionHandler((t, e) -> Runtime.getRuntime().halt(0)); return x; } }",
        "a hook at the end": "class Solution { int twice(int x) { Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0))); return x; } }",
        "an error of its own": "class AssertionError extends RuntimeException { AssertionError() { System.exit(0); } }\n"
        "class Solution { int twice(int x) { return x; } }",
    },
    "javascript": {
        "exit": "const twice = x => { console.log('PASS'); process.exit(0); };",
        "an exit status of its own": "process.on('exit', () => { process.exitCode = 0; console.log('PASS'); });\nconst twice = x => x;",
        "a handler of what is thrown": "process.on('uncaughtException', () => process.exit(0));\nconst twice = x => x;",
        "console of its own": "console.assert = () => {}; Object.freeze(console);\nconst twice = x => x;",
        "a JSON of its own": "JSON.stringify = () => '';\nconst twice = x => x;",
        "errors of its own": "globalThis.Error = function () { process.exit(0); };\nconst twice = x => x;",
    },
}  # fmt: skip


def task(language: str) -> Task:
    entry = "Twice" if language == "go" else "twice"
    return Task("T/1", "", entry, "", test=TESTS[language], setup=SETUP.get(language, ""), language=language, rules=humanevalpack.OTHERS)


@pytest.mark.slow
@pytest.mark.parametrize("language", FORGED)
def test_no_program_passes_without_the_tests(language: str, backend: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    assert languages.judge(task(language), RIGHT[language], backend).status == "passed"
    found = {name: languages.judge(task(language), source, backend) for name, source in FORGED[language].items()}
    passed = [name for name, outcome in found.items() if outcome.status == "passed"]
    built = [name for name, outcome in found.items() if outcome.detail.startswith("not compiled")]
    assert (passed, built) == ([], []), {name: outcome.detail for name, outcome in found.items()}
