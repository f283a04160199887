"""Harvest of other languages than Python: what becomes a record, what is left out, and that a response is the function's own source."""

from __future__ import annotations

import json
import time
from itertools import combinations
from pathlib import Path

import pytest

from codeact import api, harvesting
from codeact.curate.languages import fault
from codeact.errors import InputError
from codeact.harvesting import harvest_functions
from codeact.records import Message, Record
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_files

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")

SOURCES = {
    "javascript": (
        "a.js",
        "/**\n * Adds up what is positive.\n * @param {number[]} xs the numbers\n */\n"
        "export async function total(xs) {\n  let sum = 0;\n  for (const x of xs) if (x > 0) sum += x;\n  return sum;\n}\n",
        "Write a JavaScript function `async function total(xs)`.\n\nAdds up what is positive.\n@param {number[]} xs the numbers",
        "export async function total(xs) {\n  let sum = 0;\n  for (const x of xs) if (x > 0) sum += x;\n  return sum;\n}",
    ),
    "typescript": (
        "a.ts",
        "/** A counter of many words. */\nexport class Counter<T> {\n  /** Counts each of the words. */\n"
        "  public count(words: T[]): Map<T, number> {\n    const found = new Map<T, number>();\n"
        "    const text = `two\n  lines`;\n    return found.set(words[0], text.length);\n  }\n}\n",
        "Write the method `public count(words: T[]): Map<T, number>` of the TypeScript class `Counter`. The class: A counter of many"
        " words.\n\nCounts each of the words.",
        "public count(words: T[]): Map<T, number> {\n  const found = new Map<T, number>();\n"
        "  const text = `two\n  lines`;\n  return found.set(words[0], text.length);\n}",
    ),
    "java": (
        "A.java",
        "/**\n * Figures of a whole list.\n * @author someone.else@company.org\n */\n"
        "class A {\n    /**\n     * 返回所有数字的平均值。\n     */\n    @Override\n    public double mean(int[] xs) throws X {\n"
        "        int sum = 0;\n        for (int x : xs) sum += x;\n        return sum / (double) xs.length;\n    }\n}\n",
        "Write the method `public double mean(int[] xs) throws X` of the Java class `A`. The class: Figures of a whole list.\n\n返回所有数字的平均值。",
        "@Override\npublic double mean(int[] xs) throws X {\n    int sum = 0;\n    for (int x : xs) sum += x;\n"
        "    return sum / (double) xs.length;\n}",
    ),
    "go": (
        "a.go",
        "package a\n\n// Mean returns the mean of xs.\n//\n//go:noinline\nfunc (s *Set[T]) Mean(xs []float64) float64 {\n"
        "\tsum := 0.0\n\tfor _, x := range xs {\n\t\tsum += x\n\t}\n\treturn sum / float64(len(xs))\n}\n",
        "Write a Go function `func (s *Set[T]) Mean(xs []float64) float64`.\n\nMean returns the mean of xs.",
        "func (s *Set[T]) Mean(xs []float64) float64 {\n\tsum := 0.0\n\tfor _, x := range xs {\n\t\tsum += x\n\t}\n"
        "\treturn sum / float64(len(xs))\n}",
    ),
    "rust": (
        "a.rs",
        "impl<T> Shape for Square<T> {\n    /// Gives back the area of it.\n    #[inline]\n    fn area(&self) -> f64 {\n"
        "        let side = self.side * self.scale;\n        side * side\n    }\n}\n"
        "#[cfg(test)]\nmod tests {\n    /// Tests the area of a square.\n    fn area() { let a = 1; assert_eq!(a, 1); }\n}\n",
        "Write the method `fn area(&self) -> f64` of the Rust type `Shape for Square<T>`.\n\nGives back the area of it.",
        "#[inline]\nfn area(&self) -> f64 {\n    let side = self.side * self.scale;\n    side * side\n}",
    ),
    "c": (
        "a.c",
        "/* The sum of the first n numbers. */\nstatic int *sum_of(int n, int *out)\n{\n    int i;\n    for (i = 0; i < n; i++) *out += i;\n"
        "    return out;\n}\n",
        "Write a C function `static int *sum_of(int n, int *out)`.\n\nThe sum of the first n numbers.",
        "static int *sum_of(int n, int *out)\n{\n    int i;\n    for (i = 0; i < n; i++) *out += i;\n    return out;\n}",
    ),
    "cpp": (
        "a.hpp",
        "namespace n {\n/// A point in the plane.\nclass Point {\n public:\n  /// Makes it of two numbers.\n"
        "  template <class T>\n  explicit Point(T x, T y) : x_(x), y_(y) {\n    check(x, y);\n    count += 1;\n  }\n};\n}\n",
        "Write the method `template <class T> explicit Point(T x, T y)` of the C++ class `Point`. The class: A point in the plane.\n\n"
        "Makes it of two numbers.",
        "template <class T>\nexplicit Point(T x, T y) : x_(x), y_(y) {\n  check(x, y);\n  count += 1;\n}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", SOURCES)
def test_a_documented_function(language: str, tmp_path: Path) -> None:
    name, source, instruction, response = SOURCES[language]
    found = harvest_functions([write_files(tmp_path, {name: source})], languages=[language], min_tokens=5)
    (record,) = found.records
    assert record.instruction == instruction
    assert record.response == response
    assert record.meta["language"] == language
    assert fault(language, record.response) is None
    assert [item.instruction for item in harvest_functions([tmp_path], languages=[*SOURCES], min_tokens=5).records] == [instruction]


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("app.use = function use(fn, ...rest) {BODY};", "function `app.use(fn, ...rest)`"),
        ("exports = module.exports = function(fn) {BODY}", "function `module.exports(fn)`"),
        ("var a = exports.a = async fn => {BODY};", "function `async exports.a(fn)`"),
        ("Shape.prototype.area = function() {BODY};", "function `Shape.prototype.area()`"),
        ("export const twice = (fn) => fn * 2 + fn / 3;", "function `twice(fn)`"),
        ("class A {\n  /** Another. */\n  b = 1;\nDOC  run = async (fn) => {BODY};\n}", "method `async run(fn)` of the JavaScript class `A`"),
        ("extend({\n  one: 1,\nDOC  'more of': function (fn) {BODY},\n});", "function `more of(fn)`"),
    ],
)
@pytest.mark.parametrize("gap", ["", "\n"])
@pytest.mark.parametrize("ending", ["js", "ts"])
def test_a_function_that_is_given_to_a_name(source: str, asked: str, gap: str, ending: str, tmp_path: Path) -> None:
    doc = f"/**\n * Says how much there is of it.\n */\n{gap}"
    told = source.replace("BODY", " const a = fn + 1; return a * 2; ")
    write_files(tmp_path, {f"a.{ending}": f"'use strict';\n{told.replace('DOC', doc) if 'DOC' in told else doc + told}\n"})
    (record,) = harvest_functions([tmp_path], languages=["javascript", "typescript"], min_tokens=5).records
    name = "TypeScript" if ending == "ts" else "JavaScript"
    article = "the" if asked.startswith("method") else f"a {name}"
    assert record.instruction == f"Write {article} {asked.replace('JavaScript', name)}.\n\nSays how much there is of it."
    assert record.response in told
    assert record.response.count("(") >= told.count("(") - 1


def test_what_heads_a_file_is_no_documentation_of_what_stands_below_a_blank_line(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.js": "/** Tools of the whole project. */\n\nfunction f(a) { return a * a + 1; }\n"})
    found = harvest_functions([tmp_path], languages=["javascript"], min_tokens=5)
    assert (found.records, found.skipped) == ([], {"no docstring": 1})


def test_a_class_whose_end_the_grammar_does_not_find(tmp_path: Path) -> None:
    method = "  // Says how much there is of it.\n  int more(int a) {\n    return a * a + 1;\n  }\n"
    torn = f"class A {{\n#ifdef WIDE\n  int less(long a) {{\n#else\n  int less(int a) {{\n#endif\n    return a - 1;\n  }}\n{method}}};\n"
    after = f"class B {{\n{method.replace('1', '2')}}};\n"
    write_files(tmp_path, {"a.cc": f"namespace n {{\n{torn}{after}}}  // namespace n\n", "b.cc": f"class C {{\n{method.replace('1', '3')}}};\n"})
    found = harvest_functions([tmp_path], languages=["cpp"], min_tokens=5)
    assert [record.meta["name"] for record in found.records] == ["C.more"]
    assert found.skipped["function does not parse"] >= 1


def test_a_signature_of_many_lines_and_a_body_with_preprocessor_lines(tmp_path: Path) -> None:
    rust = "/// Adds up what is positive.\npub fn total<\n    T: Add,\n>(\n    xs: &[T],\n    start: T,\n) -> T {\n    xs.iter().fold(start, |a, b| a + b)\n}\n"
    cpp = "class A {\n  // Adds up what is positive.\n  int total(int a) {\n#if CHECKED\n    check(a);\n#endif\n    return a + a;\n  }\n};\n"
    write_files(tmp_path, {"a.rs": rust, "b.cc": cpp})
    one, two = harvest_functions([tmp_path], languages=["rust", "cpp"], min_tokens=5).records
    assert one.instruction.startswith("Write a Rust function `pub fn total<T: Add>(xs: &[T], start: T) -> T`.")
    assert two.response == "int total(int a) {\n#if CHECKED\n  check(a);\n#endif\n  return a + a;\n}"


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("a.js", "// eslint-disable-next-line\nfunction f(a) { return a * a + 1; }", "no docstring"),
        ("a.js", "/** Squares. */\nfunction f(a) { return a * a + 1; }", "thin docstring"),
        ("a.js", "/** Gives the square of it. */\nfunction f(a) { return square(a); }", "only delegates"),
        ("a.js", "/** Gives the square of it. */\nfunction f(a) { throw new Error('no'); }", "stub"),
        ("a.js", "/** Gives the square of it. */\n\n\nfunction f(a) { return a * a + 1; }", "no docstring"),
        ("a.js", "/** Gives the square of it. */\nfunction f(a) { return a *** a + 1; }", "function does not parse"),
        ("a.js", f"/** Gives the square of it. */\nfunction f(a) {{ return a * a + 1; }}{' ' * 30_000}", "generated file"),
        ("a.java", "class A {\n  /** {@inheritDoc} */\n  int f(int a) { return a * a + 1; }\n}", "thin docstring"),
        ("a.go", "package a\n\n// x := f(a)\n// y := g(x);\n// if y { return }\nfunc F(a int) int { return a * a + 1 }", "no docstring"),
        ("a.go", "// Code generated by protoc. DO NOT EDIT.\npackage a\n\n// F is the square of a.\nfunc F(a int) int { return a * a }", "generated file"),
        ("a_test.go", "package a\n\n// F is the square of a.\nfunc F(a int) int { return a * a + 1 }", "test file"),
        ("vendor/a.go", "package a\n\n// F is the square of a.\nfunc F(a int) int { return a * a + 1 }", "vendored or built file"),
        ("a.rs", "/// Squares what it is given.\nfn f(a: u8) -> u8 { todo!() }", "stub"),
        ("a.rs", "/// Squares what it is given.\n#[test]\nfn f() { assert_eq!(2 * 2, 4); }", ""),
        ("a.cc", "int a = 1;  // the number of things\nint f(int a) { return a * a + 1; }", "no docstring"),
        ("a.min.js", "/** Gives the square of it. */\nfunction f(a) { return a * a + 1; }", "generated file"),
    ],
)
def test_what_is_left_out(name: str, source: str, reason: str, tmp_path: Path) -> None:
    write_files(tmp_path, {name: source, "kept.go": SOURCES["go"][1]})
    found = harvest_functions([tmp_path], languages=[*SOURCES], min_tokens=5)
    assert [record.meta["file"] for record in found.records] == ["kept.go"]
    assert found.skipped == ({reason: 1} if reason else {})


def test_a_secret_is_left_out_in_every_language(tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5" * 3 + "F6g7H8"
    source = SOURCES["go"][1].replace("sum := 0.0", f'sum := 0.0\n\tlogin("{key}")')
    write_files(tmp_path, {"a.go": source, "b.go": SOURCES["go"][1]})
    found = harvest_functions([tmp_path], languages=["go"])
    assert [record.meta["file"] for record in found.records] == ["b.go"]
    assert key not in "".join(found.problems)


def test_include_and_exclude(tmp_path: Path) -> None:
    body = '(x):\n    """Double the number given."""\n    y = x + x\n    print(y, y * 2)\n    return y + len(str(y))\n'
    files = {name: f"def f{number}{body.replace('2', str(number))}" for number, name in enumerate(
        ("src/a.py", "src/old/b.py", "src/c_old.py", "tools/d.py", "e.py"))}  # fmt: skip
    write_files(tmp_path, files)

    def taken(**patterns: list[str]) -> list[str]:
        return [record.meta["file"] for record in harvest_functions([tmp_path], min_tokens=5, **patterns).records]

    assert taken(include=["src"]) == taken(include=["src/*"]) == ["src/a.py", "src/c_old.py", "src/old/b.py"]
    assert taken(include=["src"], exclude=["*/old", "*_old.py"]) == ["src/a.py"]
    assert taken(exclude=["src/", "e.py"]) == ["tools/d.py"]
    with pytest.raises(InputError, match=r"no Python file to harvest .files that the patterns of include and exclude leave out are not counted"):
        taken(include=["nowhere"])
    before = harvesting.tree_identity(tmp_path)
    assert harvesting.tree_identity(tmp_path, exclude=["tools"]) != before


def test_a_tree_of_another_language_says_so(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.go": SOURCES["go"][1], "b.rs": SOURCES["rust"][1], "c.rs": SOURCES["rust"][1]})
    with pytest.raises(InputError, match="holds no Python file to harvest; it holds 2 of Rust, 1 of Go: --languages rust,go"):
        harvest_functions([tmp_path])
    told = codeact_command("harvest", str(tmp_path), "--languages", "go,cobol", "-o", str(tmp_path / "o.jsonl"))
    assert told.returncode == 2
    assert "data.harvest.languages" in told.stderr


def test_the_command_says_what_was_left_out_and_holds_out_whole_files(tmp_path: Path) -> None:
    for number in range(12):
        write_files(tmp_path / "tree", {f"m{number}.py": "".join(
            f'def f{n}(x):\n    """Add {n} to the number given."""\n    y = x + {n} + {number}\n    print(y)\n    return y + len(str(y))\n'
            for n in range(3)) + "def g():\n    return 1\n"})  # fmt: skip
    call = ["harvest", str(tmp_path / "tree"), "--held-out", "0.2", "-o", str(tmp_path / "pool.jsonl"), "--min-tokens", "5"]
    done = codeact_command(*call)
    assert done.returncode == 0, done.stderr
    assert "30 records -> " in done.stdout
    assert "6 records of other files (17%) -> " in done.stdout
    assert "left out: 12 no docstring" in done.stdout

    def files(name: str) -> set[str]:
        return {json.loads(line)["file"] for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()}

    assert len(files("pool.jsonl")) == 10
    assert not files("pool.jsonl") & files("pool.held-out.jsonl")
    again = api.harvest(str(tmp_path / "tree"), tmp_path / "again.jsonl", held_out=0.2, min_tokens=5)
    assert (again["records"], again["held_out"]) == (30, 6)
    assert (tmp_path / "again.held-out.jsonl").read_bytes() == (tmp_path / "pool.held-out.jsonl").read_bytes()
    for share, message in ((1.0, "held_out = 1.0"), (-0.1, "held_out")):
        with pytest.raises(InputError, match=message):
            api.harvest(str(tmp_path / "tree"), tmp_path / "bad.jsonl", held_out=share, min_tokens=5)
    assert not list(tmp_path.glob("bad*"))


@pytest.mark.parametrize("sizes", [[15, 13], [1, 1], [28, 1], [9, 7, 5, 3, 2], [100, 1, 1, 1], [7] * 9, [40, 30, 20, 6, 6, 1, 2]])
def test_the_held_out_files_are_the_set_nearest_to_the_share(sizes: list[int]) -> None:
    records = [
        Record(f"{file}-{n}", (Message("user", "q"), Message("assistant", "a")), meta={"source": "tree", "file": str(file)})
        for file, size in enumerate(sizes) for n in range(size)
    ]  # fmt: skip
    sums = {sum(part) for count in range(1, len(sizes)) for part in combinations(sizes, count)}
    for share in (0.001, 0.05, 0.1, 0.2, 0.34, 0.5, 0.75, 0.99):
        draws = [harvesting.hold_out(records, share, seed) for seed in range(8)]
        for kept, held in draws:
            assert len(held) == min(sums, key=lambda s: (abs(s - share * len(records)), s)), share
            assert not {r.meta["file"] for r in kept} & {r.meta["file"] for r in held}
            assert [r.id for r in records] == sorted((r.id for r in kept + held), key=[r.id for r in records].index)
        assert [r.id for r in draws[0][1]] == [r.id for r in harvesting.hold_out(records, share, 0)[1]]
    if len(set(sizes)) == 1:
        assert len({tuple(r.id for r in held) for _, held in draws}) > 1  # drawn by seed
    assert harvesting.hold_out(records, 0.0, 0) == (records, [])
    with pytest.raises(InputError, match="one file"):
        harvesting.hold_out(records[:1], 0.2, 0)


def test_the_folder_that_one_stands_in_is_a_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"a/b/c/m.py": 'def f(x):\n    """Double the number given."""\n    y = x + x\n    print(y)\n    return y\n'})
    monkeypatch.chdir(tmp_path)
    expected = harvest_functions([tmp_path], min_tokens=5).records
    for root in (".", "./", "a/..", Path()):
        assert harvest_functions([root], min_tokens=5).records == expected
    assert [record.meta["source"] for record in expected] == [tmp_path.name]
    monkeypatch.chdir(tmp_path / "a")
    assert [r.meta["file"] for r in harvest_functions(["..", "b"], min_tokens=5).records] == ["a/b/c/m.py"]


def test_an_installed_package_has_the_licence_of_its_metadata(tmp_path: Path) -> None:
    site = tmp_path / "lib/site-packages"
    metadata = "Metadata-Version: 2.1\nName: {0}\nVersion: 1\n{1}\n"
    told = {"one": "License-Expression: MIT AND ISC", "two": "Classifier: License :: OSI Approved :: Apache Software License"}
    body = 'def {0}(x):\n    """Double the number given."""\n    y = x + x\n    print(y)\n    return y\n'
    for name, line in told.items():
        write_files(site, {
            f"{name}/__init__.py": body.format(name), f"{name}-1.dist-info/METADATA": metadata.format(name, line),
            f"{name}-1.dist-info/RECORD": f"{name}/__init__.py,,\n",
        })  # fmt: skip
    found = harvest_functions([site], min_tokens=5)
    assert {r.meta["file"]: r.meta["license"] for r in found.records} == {
        "one/__init__.py": "MIT AND ISC", "two/__init__.py": "Apache-2.0",
    }  # fmt: skip
    found = harvest_functions([site / "two"], min_tokens=5)
    assert [record.meta["license"] for record in found.records] == ["Apache-2.0"]


@pytest.mark.parametrize("unit", ["(", "{", "/**", "`", "function f() {", "// a b c\n", "<a", "\\", '"'])
def test_a_hostile_file_ends(unit: str, tmp_path: Path) -> None:
    write_files(tmp_path, {"a.ts": f"{unit * 50}\n" * (100_000 // (50 * len(unit))), "b.ts": SOURCES["typescript"][1]})
    started = time.process_time()
    assert len(harvest_functions([tmp_path], languages=["typescript"], min_tokens=5).records) == 1
    assert time.process_time() - started < 30
