"""Programs of compiled languages that want to pass without solving the task: each fails.

Every attack is a function body that is wrong, or the answer around it; what it prints and how it ends is its own choice.
"""

from __future__ import annotations

import pytest

from codeact.evaluation import languages
from codeact.evaluation.sets import humanevalpack
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend, detect_backend
from codeact.sandbox.toolchains import missing

TESTS = {
    "cpp": "#undef NDEBUG\n#include<assert.h>\nint main(){ assert(twice(2) == 4); }\n",
    "rust": "#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn test_twice() { assert_eq!(twice(2), 4); } }\n",
    "go": "func TestTwice(t *testing.T) {\n    assert := assert.New(t)\n    assert.Equal(4, Twice(2))\n}\n",
    "java": "public class Main { public static void main(String[] args) { if (new Solution().twice(2) != 4) throw new AssertionError(); } }\n",
    "javascript": "console.assert(JSON.stringify([twice(2)]) === JSON.stringify([4]))\n",
}
PROMPTS = {
    "cpp": "#include <vector>\n#include <string>\nusing namespace std;\nint twice(int x){\n",
    "rust": "fn twice(x: i32) -> i32 {\n",
    "go": "func Twice(x int) int {\n",
    "java": "import java.util.*;\nclass Solution {\n    int twice(int x) {\n",
    "javascript": "const twice = (x) => {\n",
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
        "TestMain": f'import "fmt"\nimport "os"\nimport "testing"\nfunc TestMain(m *testing.M) {{ {GO_SAYS}; os.Exit(0) }}\n{GO_WRONG}',
        "a failure left out": f'import "fmt"\nimport "os"\nimport "testing"\nfunc TestMain(m *testing.M) {{ m.Run(); {GO_SAYS}; os.Exit(0) }}\n{GO_WRONG}',
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
    return Task("T/1", PROMPTS[language], entry, "", test=TESTS[language], setup=SETUP.get(language, ""), language=language, rules=humanevalpack.OTHERS)


# Programs that leave the function wrong and change what the tests compare with: (prompt, tests, program).
COMPARED = {
    "cpp": ("#include <vector>\n#include <string>\nusing namespace std;\nvector<string> twice(vector<string> x){\n",
            "#undef NDEBUG\n#include <assert.h>\nint main(){ vector<string> r = {\"a\", \"a\"}; assert(twice({\"a\"}) == r); assert(twice({\"b\"})[0] == \"b\"); }\n"),
    "rust": ("fn twice(x: Vec<String>) -> Vec<String> {\n",
             "#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn test_twice() { assert_eq!(twice(vec![\"a\".to_string()]), vec![\"a\", \"a\"]); } }\n"),
    "go": ("func Twice(x []string) bool {\n", "func TestTwice(t *testing.T) {\n    assert := assert.New(t)\n    assert.Equal(true, Twice([]string{\"a\"}))\n}\n"),
    "java": ("import java.util.*;\nclass Solution {\n    public List<String> twice(List<String> x) {\n",
             "public class Main { public static void main(String[] args) { Solution s = new Solution(); "
             "if (!s.twice(List.of(\"a\")).equals(Arrays.asList(\"a\", \"a\"))) throw new AssertionError(); } }\n"),
    "javascript": ("const twice = (x) => {\n",
                   "const assert = require('node:assert'); assert.deepEqual(twice(['a']), ['a', 'a']); "
                   "console.assert(JSON.stringify(twice(['a'])) === JSON.stringify(['a', 'a']))\n"),
}  # fmt: skip
RIGHTLY = {
    "cpp": "vector<string> twice(vector<string> x) { x.push_back(x[0]); return x; }",
    "rust": "fn twice(x: Vec<String>) -> Vec<String> { let mut y = x.clone(); y.extend(x); y }",
    "go": "func Twice(x []string) bool { return len(x) == 1 }",
    "java": "class Solution { public List<String> twice(List<String> x) { List<String> y = new LinkedList<>(x); y.addAll(x); return y; } }",
    "javascript": "const twice = x => x.concat(x);",
}
CPP_SAME = "vector<string> twice(vector<string> x) { return x; }"
RUST_SAME = "fn twice(x: Vec<String>) -> Vec<String> { x }"
LIARS = {
    "cpp": {
        "its own ==": f"bool operator==(const vector<string> &, const vector<string> &) {{ return true; }}\n{CPP_SAME}",
        "a specialised ==": f"namespace std {{ template <> bool operator==(const vector<string> &, const vector<string> &) {{ return true; }} }}\n{CPP_SAME}",
        "memcmp of its own": f'extern "C" int memcmp(const void *, const void *, size_t) noexcept {{ return 0; }}\n{CPP_SAME}',
        "an assertion that goes on": f'void fine() asm("__assert_fail");\nvoid fine() {{}}\n{CPP_SAME}',
        "strlen of its own": f'extern "C" size_t strlen(const char *) noexcept {{ return 0; }}\n{CPP_SAME}',
        "a poisoned name": f"{CPP_SAME}\n#pragma GCC poison assert\n#line 1 \"main.cpp\"",
        "main of its own": f'{CPP_SAME}\nint main() {{ puts("PASS"); return 0; }}',
        "the tests under their name": f'{CPP_SAME}\nint codeact_tests() {{ return 0; }}',
        "a header of its own": f'#define _ASSERT_H 1\n#define assert(x) ((void)0)\n{CPP_SAME}',
        "private opened": f"#define private public\n#define true false\n#define if(x) if (0)\n{CPP_SAME}",
        "an early end while it is loaded": f"#include <unistd.h>\n__attribute__((constructor(101))) void e() {{ _exit(0); }}\n{CPP_SAME}",
        "the tests seen": f'#if __has_include("main.cpp")\n{RIGHTLY["cpp"]}\n#else\n{CPP_SAME}\n#endif',
        "an ifunc": f'extern "C" {{ static void *pick() {{ return (void *)(+[](const void *, const void *, size_t) {{ return 0; }}); }} '
        f'int bcmp(const void *, const void *, size_t) noexcept __attribute__((ifunc("pick"))); }}\n{CPP_SAME}',
    },
    "rust": {
        "a type of its own": "pub struct Liar;\nimpl PartialEq<Vec<&str>> for Liar { fn eq(&self, _: &Vec<&str>) -> bool { true } }\n"
        'impl std::fmt::Debug for Liar { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, "x") } }\n'
        "fn twice(x: Vec<String>) -> Liar { Liar }",
        "a Vec of its own": "#[derive(Debug)] pub struct Vec<T>(T);\nimpl<T, U> PartialEq<U> for Vec<T> { fn eq(&self, _: &U) -> bool { true } }\n"
        "fn twice(x: std::vec::Vec<String>) -> Vec<i32> { Vec(1) }",
        "memcmp of its own": f"#[no_mangle]\npub extern \"C\" fn memcmp(_: *const u8, _: *const u8, _: usize) -> i32 {{ 0 }}\n{RUST_SAME}",
        "std of its own": f"extern crate self as std;\n#[macro_export] macro_rules! assert_eq {{ ($($t:tt)*) => {{}} }}\n{RUST_SAME}",
        "the tests included": 'const TESTS: &str = include_str!("main.rs");\nfn twice(x: Vec<String>) -> Vec<String> { for line in TESTS.split(\'"\') '
        f"{{ println!(\"\\n{{}}\", line.trim_matches(|c: char| !c.is_alphanumeric())); }} {RUST_SAYS} std::process::exit(0) }}",
        "the tests read": "fn twice(x: Vec<String>) -> Vec<String> { let mut p = std::env::current_exe().unwrap(); p.set_file_name(\"main.rs\"); "
        f"let t = std::fs::read_to_string(p).unwrap(); println!(\"{{}}\", t); {RUST_SAYS} std::process::exit(0) }}",
        "process::exit": "fn twice(x: Vec<String>) -> Vec<String> { std::process::exit(0) }",
    },
    "go": {
        "true of its own": "const true = false\nfunc Twice(x []string) bool { return 1 == 2 }",
        "bool of its own": "type bool int\nconst true bool = 1\nfunc Twice(x []string) bool { return 0 }",
        "a testing package of its own": "var testing, assert int\nfunc Twice(x []string) bool { return false }",
        "os.Exit in init": 'import "os"\nfunc init() { os.Exit(0) }\nfunc Twice(x []string) bool { return false }',
    },
    "java": {
        "a list that equals all": "class Solution { public List<String> twice(List<String> x) { "
        "return new ArrayList<String>() { public boolean equals(Object o) { return true; } }; } }",
        "Arrays of its own": "class Arrays { static List<String> asList(String... x) { return List.of(\"a\"); } }\n"
        "class Solution { public List<String> twice(List<String> x) { return x; } }",
        "escaped": "cl\\u0061ss Arrays { static List<String> asList(String... x) { return List.of(\"a\"); } }\n"
        "class Solution { public List<String> twice(List<String> x) { return x; } }",
        "the runner's name": "class Run { public static void main(String[] a) {} }\nclass Solution { public List<String> twice(List<String> x) { return x; } }",
        "halt while it is loaded": "class Solution { static { Runtime.getRuntime().halt(0); } public List<String> twice(List<String> x) { return x; } }",
    },
    "javascript": {
        "toJSON of all lists": "Array.prototype.toJSON = () => 1; Object.prototype.toJSON = () => 1;\nconst twice = x => x;",
        "assert of its own": "require('assert').deepEqual = require('node:assert').deepEqual = () => {}; JSON.stringify = () => '';\nconst twice = x => x;",
        "require of its own": "require('module').prototype.require = () => ({deepEqual() {}}); require.cache = {};\nJSON.stringify = () => '';\nconst twice = x => x;",
        "by the constructor of its arguments": "const twice = x => { try { const g = x.constructor.constructor('return globalThis')(); g.JSON.stringify = () => ''; "
        "g.Array.prototype.toJSON = () => 1; } catch {} return x; };",
        "strict mode's assert": "const a = require('assert'); a.strict.deepEqual = () => {}; a.AssertionError = class { constructor() { process.exit(0); } };\n"
        "const twice = x => x;",
        "a proxy": "const twice = x => new Proxy([], {get: (t, k) => k === 'toJSON' ? () => 1 : t[k]});",
        "ends": "process.exit(0); const twice = x => x;",
    },
}  # fmt: skip


@pytest.mark.slow(8)
@pytest.mark.parametrize("language", LIARS)
def test_no_program_changes_what_its_answers_are_compared_with(language: str, sandbox: Backend) -> None:
    """In one sandbox: these lie to the compiler and to the comparison; the others attack the process, in either."""
    if missing(language):
        pytest.skip(f"{language} is not installed")
    prompt, tests = COMPARED[language]
    entry = "Twice" if language == "go" else "twice"
    one = Task("T/2", prompt, entry, "", test=tests, setup=SETUP.get(language, ""), language=language, rules=humanevalpack.OTHERS)
    right = languages.judge(one, RIGHTLY[language], sandbox)
    assert right.status == "passed", right
    found = {name: languages.judge(one, source, sandbox) for name, source in LIARS[language].items()}
    assert [name for name, outcome in found.items() if outcome.status == "passed"] == [], found


@pytest.mark.slow(8)
@pytest.mark.parametrize("language", FORGED)
def test_no_program_passes_without_the_tests(language: str, backend: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    assert languages.judge(task(language), RIGHT[language], backend).status == "passed"
    attacks = list(FORGED[language].items())
    some = attacks if backend.name == detect_backend().name else attacks[::4]  # how they are judged is one for all; what holds the process is not
    found = {name: languages.judge(task(language), source, backend) for name, source in some}
    passed = [name for name, outcome in found.items() if outcome.status == "passed"]
    built = [name for name, outcome in found.items() if outcome.detail.startswith("not compiled")]
    assert (passed, built) == ([], []), {name: outcome.detail for name, outcome in found.items()}
