"""Harvest: which functions become records, and that a response is the function it was made from."""

from __future__ import annotations

import ast
import io
import json
import sysconfig
import textwrap
import tokenize
from pathlib import Path

import pytest

from codeact.errors import InputError
from codeact.harvesting import Harvest, count_tokens, harvest_functions, to_rows, tree_identity
from codeact.records import content_hash, read_records
from tests.helpers.lines import write_files

BODY = (
    "    total = 0\n    for value in values:\n        total += value * value\n    return total / max(1, len(values))\n"
)
GOOD = f'def mean_square(values):\n    """Return the mean of the squared values."""\n{BODY}'


def take(root: Path, **options: int) -> Harvest:
    return harvest_functions([root], **options)


def names(found: Harvest) -> list[str]:
    return [record.meta["name"] for record in found.records]


@pytest.fixture(scope="module")
def json_package() -> tuple[Path, Harvest]:
    folder = Path(sysconfig.get_path("stdlib"))
    roots = [
        folder / part for part in ("json", "collections", "email", "logging", "argparse.py", "heapq.py", "turtle.py")
    ]
    return folder, harvest_functions(roots)


def test_a_response_is_the_function_without_its_docstring(json_package: tuple[Path, Harvest]) -> None:
    folder, found = json_package
    assert len(found.records) > 300
    trees: dict[str, dict[tuple[int, str], ast.AST]] = {}
    for record in found.records:
        meta = record.meta
        path = folder / meta["file"] if (folder / meta["file"]).exists() else folder / meta["source"] / meta["file"]
        if str(path) not in trees:
            with tokenize.open(path) as stream:
                walked = ast.walk(ast.parse(stream.read()))
            trees[str(path)] = {
                (n.lineno, n.name): n for n in walked if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        original = trees[str(path)][meta["line"], meta["name"].rpartition(".")[2]]
        assert isinstance(original, ast.FunctionDef | ast.AsyncFunctionDef)
        documented = ast.get_docstring(original)
        assert documented is not None
        assert documented.strip() in record.instruction
        original.body.pop(0)
        assert ast.dump(ast.parse(record.response).body[0]) == ast.dump(original)


def test_ids_hash_the_content_and_are_unique(json_package: tuple[Path, Harvest]) -> None:
    records = json_package[1].records
    assert all(record.id == content_hash(record.messages) for record in records)
    assert len({record.id for record in records}) == len(records)
    assert len({record.response for record in records}) == len(records)


def test_rows_written_as_jsonl_read_back_as_the_same_records(json_package: tuple[Path, Harvest]) -> None:
    records = json_package[1].records
    rows = [json.loads(json.dumps(row)) for row in to_rows(records)]
    reading = read_records(rows)
    assert (reading.records, reading.rejected) == (records, [])


@pytest.mark.slow
def test_the_standard_library_is_a_root() -> None:
    found = harvest_functions(["stdlib"], include=["[ac-h]*", "tomllib*"])
    files = {record.meta["file"] for record in found.records}
    assert len(found.records) > 600
    assert "heapq.py" in files
    assert not {part for file in files for part in file.split("/")[:-1]} & {
        "test",
        "tests",
        "site-packages",
        "idle_test",
    }
    licences = {record.meta["file"]: record.meta["license"] for record in found.records}
    assert licences["heapq.py"] == "PSF-2.0"
    assert licences["tomllib/_parser.py"] == "MIT"
    assert {record.meta["source"] for record in found.records} == {"stdlib"}
    assert [r.meta["file"] for r in found.records] == sorted(r.meta["file"] for r in found.records)
    # What is left is the e-mail addresses of two authors.
    assert all(problem.endswith("personal data: e-mail address") for problem in found.problems)
    assert len(found.problems) < 5


def test_text_of_a_function_and_a_method(tmp_path: Path) -> None:
    signature = "(self, values: list[float], *, scale=1.0) -> float"
    method = textwrap.indent("@staticmethod\n" + GOOD.replace("(values)", signature, 1), " " * 8)
    outer = 'class Outer:\n    class Meter:\n        """Measures how loud\n        a signal is."""\n'
    write_files(tmp_path, {"a.py": f"{GOOD}\n{outer}\n{method}".replace("total = 0", "total = 1", 1)})
    function, inner = take(tmp_path).records
    assert (
        function.instruction
        == "Write a Python function `mean_square(values)`.\n\nReturn the mean of the squared values."
    )
    assert function.response == "def mean_square(values):\n" + BODY.rstrip().replace("0", "1", 1)
    assert inner.instruction == (
        "Write the static method `mean_square(self, values: list[float], *, scale=1.0) -> float` of the Python class "
        "`Outer.Meter`. The class: Measures how loud a signal is.\n\nReturn the mean of the squared values."
    )
    assert inner.response.startswith("@staticmethod\ndef mean_square(self")
    assert dict(inner.meta) == {
        "source": tmp_path.name, "file": "a.py", "line": 14, "name": "Outer.Meter.mean_square",
        "license": "unknown", "language": "python", "tokens": count_tokens(inner.response), "row": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "response"),
    [
        (
            'def f(a, b):\n    """Add both numbers."""; c = a + b\n    return c * 2\n',
            "def f(a, b):\n    c = a + b\n    return c * 2",
        ),
        ('def f(a, b): "Add both numbers."; return a + b * 2\n', "def f(a, b): return a + b * 2"),
        (
            'def f(a, b):\n    # why\n    """Add both numbers."""  # doc\n\n    return a + b * 2\n',
            "def f(a, b):\n    # why\n    return a + b * 2",
        ),
        ('def f(a, b):\n    ("Add both " "numbers.")\n    return a + b * 2\n', "def f(a, b):\n    return a + b * 2"),
        (
            'def f(a, b):\n    "Größe — beide Zahlen."; c = "ü"\n    return a + b + c\n',
            'def f(a, b):\n    c = "ü"\n    return a + b + c',
        ),
        (
            'class A:\n    def f(self):\n        """Return a banner text."""\n        x = """one\n        two\n  three"""\n        return x + f"""a\n        {x}\n"""\n',
            'def f(self):\n    x = """one\n        two\n  three"""\n    return x + f"""a\n        {x}\n"""',
        ),
        (
            'if True:\n\tdef f(a, b):\n\t\t"""Add both numbers."""\n# far left\n\t\treturn a + b * 2\n',
            "def f(a, b):\n# far left\n\treturn a + b * 2",
        ),
    ],
    ids=["semicolon", "one line", "comments", "parentheses", "not ASCII", "strings over lines", "tabs"],
)
def test_layout_of_the_response(tmp_path: Path, source: str, response: str) -> None:
    write_files(tmp_path, {"a.py": source})
    assert [record.response for record in take(tmp_path, min_tokens=1).records] == [response]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (f"def f(values):\n{BODY}", "no docstring"),
        (f'def f(values):\n    """See base."""\n{BODY}', "thin docstring"),
        (f'def f(values):\n    """See the method of the base class."""\n{BODY}', "thin docstring"),
        (f'def f(values):\n    """\n    >>> f([one, two, three])\n    """\n{BODY}', "thin docstring"),
        (f'def f(values):\n    """Return what \\ud800 holds there."""\n{BODY}', "docstring is not valid Unicode"),
        ('def f(values):\n    """Return the mean value."""\n', "stub"),
        ('def f(values):\n    """Return the mean value."""\n    pass\n', "stub"),
        (
            'def f(values):\n    """Return the mean value."""\n    raise NotImplementedError("a subclass does it")\n',
            "stub",
        ),
        (
            'def f(self, a):\n    """Return the mean value."""\n    return self.other.mean(a, *self.rest, key=None)\n',
            "only delegates",
        ),
        ('def f(self, a):\n    """Return the mean value."""\n    return super().f(a)\n', "only delegates"),
        ('def f(a):\n    """Return the next value."""\n    return a + 1\n', "too short"),
        ('def f(a):\n    """Return the next value."""\n    return [' + "a + 1, " * 400 + "]\n", "too long"),
        (
            f'def f(a):\n    def g(values):\n        """Return the mean."""\n{BODY.replace("    ", "        ")}',
            "inner function",
        ),
        (GOOD + GOOD, "duplicate"),
        ("# Generated by the grammar compiler.\n" + GOOD, "generated file"),
        ('"""Tables. DO NOT EDIT."""\n' + GOOD, "generated file"),
    ],
)
def test_what_is_skipped_is_counted_with_its_reason(tmp_path: Path, source: str, reason: str) -> None:
    write_files(tmp_path, {"a.py": source, "b.py": GOOD.replace("squared", "square").replace("total", "result")})
    found = take(tmp_path)
    assert found.skipped[reason] == 1
    assert len(found.records) == (2 if reason == "duplicate" else 1)


def test_duplicates_are_found_under_other_comments_and_layout(tmp_path: Path) -> None:
    other = GOOD.replace("total = 0", "total  =  0  # start").replace("Return", "Compute")
    write_files(tmp_path, {"b.py": other, "a.py": GOOD})
    found = take(tmp_path)
    assert [(r.meta["file"], found.skipped["duplicate"]) for r in found.records] == [("a.py", 1)]


def test_folders_and_files_left_out(tmp_path: Path) -> None:
    left_out = [
        ".hidden/a.py", "tests/a.py", "pkg/test/a.py", "node_modules/a.py", "site-packages/a.py", "env/a.py", "x.egg-info/a.py",
        "test_a.py", "a_test.py", "conftest.py", "a_pb2.py", ".a.py", "a.txt",
    ]  # fmt: skip
    write_files(tmp_path, dict.fromkeys(left_out, GOOD) | {"env/pyvenv.cfg": "", "pkg/kept.py": GOOD})
    found = take(tmp_path)
    assert [record.meta["file"] for record in found.records] == ["pkg/kept.py"]
    assert found.skipped == {"test file": 3, "generated file": 1, "hidden file": 1}


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("# Code generated by protoc. DO NOT EDIT.\n", False),
        ('"""Autogenerated by Thrift."""\n', False),
        ("# This file was automatically generated by SWIG.\n", False),
        ('"""Tables.\n\nDo not edit by hand.\n"""\n', False),
        ('"""Helpers that tell automatically generated ids from those of people."""\n', True),
        ('"""A lock, so that other users do not edit it at the same time."""\n', True),
    ],
)
def test_a_file_is_generated_where_it_says_so_of_itself(header: str, kept: bool, tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": header + GOOD})
    assert [r.meta["file"] for r in take(tmp_path).records] == ["a.py"] * kept


def test_unusable_files_are_reported_and_the_rest_is_kept(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "kept.py": GOOD,
            "python2.py": 'print "hello"\n',
            "null.py": "x = '\0'\n",
            "cookie.py": "# coding: no-such-codec\n",
        },
    )
    (tmp_path / "bytes.py").write_bytes(b'x = "\xff\xfe"\n')
    (tmp_path / "latin.py").write_bytes(
        b"# coding: latin-1\n" + GOOD.replace("squared", "caf\xe9 squared").replace("0", "1").encode("latin-1")
    )
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere.py")
    found = take(tmp_path)
    assert [record.meta["file"] for record in found.records] == ["kept.py", "latin.py"]
    assert "café" in found.records[1].instruction
    assert found.skipped == {"unreadable file": 1, "undecodable file": 2, "file does not parse": 2}
    assert {line.partition(":")[0].rpartition("/")[2] for line in found.problems} == {
        "python2.py", "null.py", "cookie.py", "bytes.py", "broken.py",
    }  # fmt: skip
    assert all("\n" not in line for line in found.problems)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    write_files(tmp_path, {"pkg/a.py": GOOD})
    (tmp_path / "pkg" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = take(tmp_path)
    assert names(found) == ["mean_square"]
    assert found.skipped["linked folder"] == 1


def test_a_file_link_is_followed_inside_the_tree_only(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    write_files(tree, {"pkg/a.py": GOOD, "store/b.txt": GOOD.replace("total = 0", "total = 1", 1)})
    write_files(
        outside,
        {
            "secret.py": GOOD.replace("total = 0", "total = 2", 1),
            "tree/x.py": GOOD.replace("total = 0", "total = 3", 1),
        },
    )
    (tree / "out.py").symlink_to(outside / "secret.py")
    (tree / "up.py").symlink_to("../outside/secret.py")
    (tree / "pkg" / "hop.py").symlink_to(tree / "out.py")
    (tree / "same_name.py").symlink_to(outside / "tree" / "x.py")
    (tree / "gone.py").symlink_to(outside / "gone.py")
    (tree / "inside.py").symlink_to("store/b.txt")
    (tree / "twin.py").symlink_to("pkg/a.py")
    (tree / "round.py").symlink_to("round.py")
    found = take(tree)
    assert sorted(record.meta["file"] for record in found.records) == ["inside.py", "pkg/a.py"]
    assert found.skipped["link out of the tree"] == 5
    assert found.skipped["unreadable file"] == 1
    assert sum("a link to a file outside of tree" in problem for problem in found.problems) == 5
    assert str(tmp_path) not in "".join(found.problems)
    linked = tmp_path / "link"
    linked.symlink_to(tree, target_is_directory=True)
    assert len(take(linked).records) == 2


def test_a_tree_of_nothing_but_links_out_says_so(tmp_path: Path) -> None:
    write_files(tmp_path / "real", {"a.py": GOOD})
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "a.py").symlink_to(tmp_path / "real" / "a.py")
    with pytest.raises(InputError, match="links out of it do not count"):
        take(tmp_path / "farm")


def test_a_long_elif_chain_does_not_stop_the_harvest(tmp_path: Path) -> None:
    chain = "if x:\n    pass\n" + "elif x:\n    pass\n" * 3000
    write_files(tmp_path, {"a.py": chain, "b.py": GOOD})
    assert names(take(tmp_path)) == ["mean_square"]


def test_overlapping_roots_give_each_function_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"pkg/a.py": GOOD})
    found = harvest_functions([tmp_path, tmp_path / "pkg", tmp_path / "pkg" / "a.py"])
    assert names(found) == ["mean_square"]
    assert found.skipped["duplicate"] == 0


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        (
            {"LICENSE": "MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy"},
            "MIT",
        ),
        ({"COPYING": "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007"}, "GPL-3.0"),
        ({"LICENSE.md": "All rights reserved."}, "see LICENSE.md"),
        ({"../LICENSE": "Apache License\nVersion 2.0", "../pyproject.toml": ""}, "Apache-2.0"),
        ({"../LICENSE": "Apache License\nVersion 2.0"}, "unknown"),
        ({"LICENSE": "Apache License\nVersion 2.0", "pkg/LICENSE": "Mozilla Public License Version 2.0"}, "MPL-2.0"),
    ],
)
def test_licence_hint(tmp_path: Path, files: dict[str, str], licence: str) -> None:
    root = tmp_path / "project"
    write_files(root, files | {"pkg/a.py": GOOD})
    assert [r.meta["license"] for r in take(root).records] == [licence]


def test_an_spdx_header_overrides_the_licence_file(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "LICENSE": "Apache License Version 2.0",
            "a.py": "# SPDX-License-Identifier: PSF-2.0 AND (MIT OR BSD-3-Clause)\n" + GOOD,
        },
    )
    assert take(tmp_path).records[0].meta["license"] == "PSF-2.0 AND (MIT OR BSD-3-Clause)"


def test_token_count_against_tokenize() -> None:
    code = 'def f(a):\n    # comment\n    return f"{a} is {a!r:>{10}}" + "b"  # 12\n'
    plain = code.replace('f"{a} is {a!r:>{10}}"', '"x"')
    words = [
        t
        for t in tokenize.generate_tokens(io.StringIO(plain).readline)
        if t.string.strip() and t.type != tokenize.COMMENT
    ]
    assert count_tokens(code) == len(words) == 10


def test_the_token_limits_are_inclusive(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": GOOD})
    size = count_tokens("def mean_square(values):\n" + BODY)
    assert len(take(tmp_path, min_tokens=size, max_tokens=size).records) == 1
    assert take(tmp_path, min_tokens=size + 1).skipped["too short"] == 1
    assert take(tmp_path, max_tokens=size - 1, min_tokens=1).skipped["too long"] == 1


@pytest.mark.parametrize(
    ("roots", "options", "message"),
    [
        (["nowhere"], {}, "nowhere is no folder"),
        ([], {}, "no root given"),
        (["empty"], {}, "holds no Python file"),
        (["stdlib"], {"min_tokens": 50, "max_tokens": 20}, "min_tokens = 50 and max_tokens = 20"),
        (["stdlib"], {"min_tokens": 0}, "1 <= min_tokens"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roots: list[str], options: dict[str, int], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        harvest_functions(roots, **options)
    assert "\n" not in str(caught.value)


def test_tree_identity_follows_the_python_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": GOOD, "tests/test_a.py": GOOD, "notes.txt": "a"})
    first = tree_identity(tmp_path)
    write_files(tmp_path, {"tests/test_a.py": "x = 1\n", "notes.txt": "b"})
    assert tree_identity(tmp_path) == first
    write_files(tmp_path, {"a.py": GOOD.replace("0", "1")})
    second = tree_identity(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({first, second, tree_identity(tmp_path)}) == 3
