"""Rust: the program is a crate of its own, so that neither its types nor its macros take the place of those that the tests name.

What could reach past that, a symbol under a name of the C library's (`#[no_mangle] fn memcmp`), is refused.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import TYPE_CHECKING

from codeact.evaluation.languages.assertions import quoted, rewritten, sides
from codeact.evaluation.languages.text import bare, block_end, harness, outermost, parameters

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

# Crates, which no distribution has compiled: their names go where nothing uses them.
CRATES = {"rand::Rng": r"\brand\b|\bRng\b|thread_rng", "regex::Regex": r"\bRegex\b", "md5": r"\bmd5::"}
# Named one by one: a glob over the program's names does not replace them.
NAMES = (
    "use ::std::{assert, assert_eq, assert_ne, debug_assert, debug_assert_eq, debug_assert_ne, format, matches, panic, print, println, vec}; "
    "use ::std::{boxed::Box, option::Option::{self, None, Some}, result::Result::{self, Err, Ok}, string::{String, ToString}, vec::Vec}; "
    "use ::std::{cmp::{PartialEq, PartialOrd}, iter::{IntoIterator, Iterator}, clone::Clone, convert::{From, Into}};"
)
LEVEL = {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}
STANDARD = {"Vec", "String", "Option", "Result", "Box", "HashMap", "HashSet", "BTreeMap", "BTreeSet", "VecDeque"}
# A test function with the attributes around its own, comments among them.
SHOULD_PANIC = re.compile(r"#\[should_panic(?:\s*\([^\]]*\))?\]")
AROUND = rf"(?:{SHOULD_PANIC.pattern}|\s|//[^\n]*)*"
TEST = re.compile(rf"(?P<before>(?:{SHOULD_PANIC.pattern}\s*)?)#\[test\](?P<between>{AROUND})(?:pub\s+)?fn (?P<name>\w+)")
# How a test function ends well: with nothing or `Ok`, or with the panic that is expected.
ENDS = """mod codeact_ends {  // in which no name is the program's
pub trait End { fn end(self); }
impl End for () { fn end(self) {} }
impl<T, E: ::std::fmt::Debug> End for Result<T, E> { fn end(self) { if let Err(e) = self { ::std::panic!("Err({:?})", e) } } }
pub fn panics<T>(name: &str, expected: &str, run: fn() -> T) {
    let hook = ::std::panic::take_hook(); ::std::panic::set_hook(Box::new(|_| {}));
    let ended = ::std::panic::catch_unwind(run); ::std::panic::set_hook(hook);
    let said = match ended { Ok(_) => ::std::panic!("{} did not panic as expected", name), Err(e) => e };
    let text = said.downcast_ref::<String>().cloned().or(said.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default();
    if !text.contains(expected) { ::std::panic!("{} panicked with {:?}, expected {:?}", name, text, expected) }
} }"""
ITEM = re.compile(
    r"(?:^|(?<=[;}\]]))[^\S\n]*(?P<item>(?P<seen>pub\s*\([^()]*\)\s*)?(?:(?:const|async|unsafe|extern|default)\b\s*(?:\"[^\"]*\"\s*)?)*"
    r"\b(?:fn|struct|enum|union|trait|type|const|static|mod|use)\b)",
    re.M,
)
# Beside the attributes, assembler; `asm` alone is a name as any other.
SYMBOLS = re.compile(r"\b(no_mangle|export_name|link_section|link_name|link_args|global_asm|naked_asm|asm(?=\s*!)|arch(?=\W[^\0]*\basm\b))")


def refused(source: str) -> str:
    """Why a program is not run; "" where it is."""
    found = SYMBOLS.search(bare(source, "rust"))
    return f"{found[1]}: the program gives linker symbols, which could take the place of the tests' own" if found else ""


def tests(task: Task, source: str, mark: str, tell: bool) -> dict[str, str]:
    """The files of a program with the tests of its task."""
    said = _told(task) if tell else ""
    written = rewritten(task.test, "rust", r"(?<!\w)assert!", _asserted) if tell and 'r#' not in task.test else task.test
    test = re.sub(r"\bmod (\w+)\s*\{", rf"mod \1 {{\n    #[allow(unused_imports)] {NAMES}", written, count=1)
    modules = re.findall(r"\bmod (\w+)\s*\{", task.test)
    found = list(TEST.finditer(test))
    inside = f"{modules[0]}::" if modules else ""
    calls = " ".join(_call(f"{inside}{one['name']}", SHOULD_PANIC.search(one[0])) for one in found)
    test = TEST.sub(lambda one: SHOULD_PANIC.sub("", one["before"] + one["between"]) + f"pub fn {one['name']}", test)
    if found:
        guard = "let _said = CodeactSaid;" if said else ""
        test += f"\n{ENDS}\n#[test]\nfn codeact_tests() {{ {guard} {calls} {_marked(mark)} }}"
    if not modules:
        test = NAMES + "\n" + test
    held = signature(task) if tell else _held(task)
    main = f"{_uses(task)}\nuse program::*;\n{held}{said}{test}\nfn main() {{}}\n"
    return {"program.rs": _program(task, source), "main.rs": _without_crates(main)}


def examples(task: Task, source: str, mark: str, directly: bool) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task: by its own declaration, else by the prompt's."""
    calls, held = [], "" if directly else _held(task)
    called = f"codeact_held::{task.entry_point}" if held else f"program::{task.entry_point}"
    for number, given in enumerate(task.base_inputs):
        text = json.dumps(list(given), ensure_ascii=True).replace("#", "\\u0023")
        arguments = ", ".join(f"Read::read(&j[{at}])" for at in range(len(given)))
        shown = f"codeact_show(&{called}({arguments}))"
        calls.append(f'    {{ let j = codeact_parse(r#"{text}"#); println!("\\n{mark} {number} {{}}", {shown}); }}')
    run = "#[test]\nfn codeact_tests() {\n    use ::std::io::Write;\n" + "\n".join(calls).replace("println!(", "writeln!(::std::io::stdout(), ").replace(
        "); }", ").unwrap(); }"
    )
    return {"program.rs": _program(task, source), "main.rs": f"#![allow(unused_mut, unused_variables)]\n{READER}\n{held}{run}\n}}\n"}


def signature(task: Task) -> str:
    """A module that holds the function to the prompt's types; "" where those are generic, or the prompt's own."""
    if (found := _types(task)) is None:
        return ""
    name, kinds, gives = found
    taken = "use ::std::collections::*; use ::core::primitive::*;"
    return f"mod codeact_signature {{ {taken} const _: fn({', '.join(kinds)}) {gives} = ::program::{name}; }}\n"


def _types(task: Task) -> tuple[str, list[str], str] | None:
    """Name, parameters' types, and `-> type` of the prompt's function, where those are the library's own and not generic."""
    plain = bare(task.prompt, "rust")
    heads = list(re.finditer(r"\bfn\s+(\w+)\s*(?=\()", plain))
    end = block_end(plain, heads[-1].end()) if heads else 0
    gives = re.fullmatch(r"\s*(->[^{]*?)?\s*\{\s*", plain[end:])
    taken = plain[heads[-1].end() + 1 : end - 1] if heads else ""
    if gives is None or re.search(r"\bimpl\b|\bwhere\b|\bdyn\b|=", taken + (gives[1] or "")):
        return None
    kinds = [part.partition(":")[2].strip() for part in parameters(taken)]
    names = set(re.findall(r"\b[A-Z]\w*", " ".join(kinds) + (gives[1] or "")))
    return (heads[-1][1], kinds, gives[1] or "") if all(kinds) and names <= STANDARD else None


def _held(task: Task) -> str:
    """A function with the prompt's types that calls the program's, whose parameters may be more general; "" as for `signature`."""
    if (found := _types(task)) is None:
        return ""
    name, kinds, gives = found
    taken = ", ".join(f"a{number}: {kind}" for number, kind in enumerate(kinds))
    given = ", ".join(f"a{number}" for number in range(len(kinds)))
    inside = f"use ::std::collections::*; use ::core::primitive::*; pub fn {name}({taken}) {gives} {{ ::program::{name}({given}) }}"
    return f"mod codeact_held {{ {inside} }}\n#[allow(unused_imports)] use codeact_held::{name};\n"


def _told(task: Task) -> str:
    """A function over the program's that tells how it was called; "" where the prompt's types are generic, or its own."""
    if (found := _types(task)) is None:
        return ""
    name, kinds, gives = found
    names = [f"a{number}" for number in range(len(kinds))]
    taken = ", ".join(f"{one}: {kind}" for one, kind in zip(names, kinds, strict=True))
    shown = ", ".join(f"&{one} as &dyn ::std::fmt::Debug" for one in names)
    call = f'codeact_called("{name}", &[{shown}]); let gave = ::program::{name}({", ".join(names)}); codeact_gave(&gave); gave'
    return f"{SAID}\nmod codeact_told {{ use super::*; use ::std::collections::*; pub fn {name}({taken}) {gives} {{ {call} }} }}\nuse codeact_told::{name};\n"


def _asserted(expression: str, names: list[str]) -> str:
    """An assertion that says both sides of its `==`, or the variables in it."""
    text = quoted(expression)
    if names and (both := sides(expression, "rust")) and names == list(both):
        left, right = both
        return (f"match (&({left}), &({right})) {{ (l, r) => if !(*l == *r) {{ panic!(\"assertion failed: {{}}; {{}} = {{:?}}; {{}} = {{:?}}\", "
                f"{text}, {quoted(left)}, l, {quoted(right)}, r) }} }}")  # fmt: skip
    return f"assert!({expression})"


def _call(name: str, panics: re.Match[str] | None) -> str:
    """Runs a test function, which panics where it fails."""
    if panics is None:
        return f"codeact_ends::End::end({name}());"
    expected = re.search(r'"(?:\\.|[^"\\])*"', panics[0])
    return f'codeact_ends::panics("{name}", {expected[0] if expected else quoted("")}, {name});'


def _marked(mark: str) -> str:
    return f'::std::io::Write::write_all(&mut ::std::io::stdout(), b"\\n{mark}\\n").unwrap();'


def _program(task: Task, source: str) -> str:
    """The source with its outermost items made public, what is inside of others left as it is."""
    plain = bare(source, "rust")
    levels = list(accumulate((LEVEL.get(letter, 0) for letter in plain), initial=0))
    for found in reversed([one for one in ITEM.finditer(plain) if levels[one.start("item")] == 0]):
        begin = found.start("item")
        source = f"{source[:begin]}pub {source[begin + len(found['seen'] or '') :]}"
    if not re.search(r"\bfn main\s*\(", source):
        source += "\nfn main() {}\n"
    return _without_crates(source)


def _uses(task: Task) -> str:
    """The prompt's `use` lines of the standard library, which tests rely on as well."""
    return "\n".join(line.strip() for _, line in outermost(task.prompt, "rust") if re.match(r"\s*use (?:std|core)::.*;\s*$", line))


def _without_crates(text: str) -> str:
    for crate, use in CRATES.items():
        line = re.compile(rf"\b(?:pub )?use {crate};")
        if not re.search(use, line.sub("", text)):
            text = line.sub("", text)
    return text


SAID, READER = harness("said.rs"), harness("examples.rs")
