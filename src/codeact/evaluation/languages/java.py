"""Java: the program's classes are compiled beside the tests'. A class of its own under a name that the tests use is no pass; what the
program returns is copied into the library's own collections before the tests compare it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codeact.evaluation.languages.assertions import arguments, quoted, statements, variables
from codeact.evaluation.languages.text import bare, block_end, harness, outermost

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

IMPORTS = "import java.util.*;\nimport java.util.function.*;\nimport java.util.stream.*;\n"
CLASS = re.compile(r"\b(?:class|interface|enum|record)\s+(\w+)")
METHOD = re.compile(
    r"((?:(?:public|protected|static|final|synchronized)\s+)*)((?:<[^{;]*?>\s*)?)"
    r"([\w.]+(?:\s*<[^(){};]*>)?(?:\s*\[\s*\])*)\s+(\w+)\s*\(([^(){};]*)\)\s*$",
    re.S,
)
GENERIC = re.compile(r"<[^<>]*(?:<[^<>]*(?:<[^<>]*>)?[^<>]*>)?[^<>]*>")
CLAIMS = re.compile(r"List<Boolean>\s+\w+\s*=\s*(?:Arrays\.asList|List\.of)\s*\(")
# The first line says what the last call gave: `assert` itself tells no value.
RUN = """class Run {{ public static void main(String[] a) throws Throwable {{
    try {{ Main.main(a); }} catch (Throwable t) {{ System.err.println("Exception in the tests: " + t + CodeactPlain.said()); throw t; }}
    System.out.println("\\n{mark}");
}} }}"""


def tests(task: Task, source: str, mark: str, tell: bool) -> dict[str, str]:
    """The files of a program with the tests of its task."""
    owner = _owner(task)
    source = _program(source, owner)
    imports = [line for line in task.prompt.split("\n") if line.startswith("import ")]
    test, checked = _telling(task.test) if tell else task.test, _checked(task, owner, over=tell)
    if checked and not tell:
        test = _renamed(test, owner)
    elif checked:
        for found in reversed(list(re.finditer(rf"(?<=\bnew )\s*{owner}(?=\s*\(\s*\))|(?<=\bextends )\s*{owner}\b|\b{owner}(?=\.\w+\s*\()", bare(test, "java")))):
            test = f"{test[: found.start()]}{test[found.start() : found.end()].replace(owner, f'Codeact{owner}')}{test[found.end() :]}"
    run = RUN.format(mark=mark)
    return {
        "Program.java": _headed(imports, source),
        "Main.java": _headed(imports, test),
        "Run.java": _headed(imports, "\n".join([checked, PLAIN, run])),
    }


def _telling(test: str) -> str:
    """The test with the text of its assertions, and of the claims in a list of them, where they fail."""
    for begin, end in reversed(list(statements(test, "java", "assert"))):
        expression = test[begin:end].strip()
        if ":" not in bare(expression, "java").replace("::", ""):
            names = "".join(f', {quoted(name)}, {name}' for name in variables(expression, bare(test, "java"), "java"))
            test = f"{test[:end]} : CodeactPlain.kept({quoted(expression)}{names}){test[end:]}"
    plain = bare(test, "java")
    for found in reversed(list(CLAIMS.finditer(plain))):
        for begin, end in reversed(arguments(test, plain, found.end() - 1)):
            claim = test[begin:end].strip()
            test = f"{test[:begin]}CodeactPlain.holds({claim}, {quoted(claim)}){test[end:]}"
    return test


def examples(task: Task, source: str, mark: str, directly: bool) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task; there is one way to call it."""
    owner = _owner(task)
    calls = "\n".join(
        f'    CodeactReader.tell("{mark}", {number}, {owner}.class, "{task.entry_point}", {json.dumps(json.dumps(list(given), ensure_ascii=True))});'
        for number, given in enumerate(task.base_inputs)
    )
    main = f"public class Main {{ public static void main(String[] a) throws Throwable {{\n{calls}\n}} }}\n"
    imports = [line for line in task.prompt.split("\n") if line.startswith("import ")]
    run = "class Run { public static void main(String[] a) throws Throwable { Main.main(a); } }"
    return {"Program.java": _headed(imports, _program(source, owner)), "Main.java": f"{IMPORTS}{main}", "Run.java": f"{IMPORTS}{READER}\n{run}\n"}


def taken(task: Task, made: list[str]) -> str:
    """Why what was compiled cannot be judged: a class of the program's under a name that the tests use; "" where there is none."""
    mine = {"Main", "Run", "CodeactPlain", "CodeactReader", f"Codeact{_owner(task)}", _owner(task)}
    known = mine | set(CLASS.findall(bare(task.prompt, "java"))) | set(CLASS.findall(bare(task.test, "java")))
    # What stands behind a point is no name of a class that could be another's.
    words = set(re.findall(r"\w+", task.test + (READER if task.outputs else "")) + re.findall(r"(?<![\w.])\w+", PLAIN))
    found = sorted({name for name in made if "$" not in name and name not in known and name in words})
    return f"the program has a class {found[0]}, which the tests would take for the library's" if found else ""


def _owner(task: Task) -> str:
    """The class that holds the function."""
    names = CLASS.findall(bare(task.prompt, "java"))
    return str(names[0]) if names else "Solution"


def _headed(imports: list[str], text: str) -> str:
    """The text behind `imports`, those that it has left out."""
    lines = text.split("\n")
    own = [line for line in lines if line.startswith("import ")]
    rest = "\n".join("" if line.startswith("import ") else line for line in lines)
    return "\n".join([*dict.fromkeys([*imports, *own])]) + "\n" + rest + "\n"


def _program(source: str, owner: str) -> str:
    source = re.sub(r"^[^\S\n]*package\s+[\w.]+\s*;", "", source, count=1, flags=re.M)
    source = re.sub(r"\bpublic\s+((?:final\s+|abstract\s+|sealed\s+)*(?:class|interface|enum|record)\s+(?!Main\b))", r"\1", source)
    for at, line in reversed(outermost(source, "java") if owner != "Main" else []):
        if re.match(r"\s*(?:(?:public|final)\s+)*class\s+Main\b", line):  # one that tries the program out; the tests have their own
            plain = bare(source, "java")
            source = source[:at] + source[block_end(plain, max(plain.find("{", at), at)) :]
    if not re.search(rf"\b(?:class|record|enum|interface)\s+{owner}\b", source):
        source = f"import java.util.*;\nclass {owner} {{\n{source}\n}}"
    return source


def _renamed(test: str, owner: str) -> str:
    """The tests with the class around the program's in its place."""
    for found in reversed(list(re.finditer(rf"(?<![\w.]){owner}\b", bare(test, "java")))):
        test = f"{test[: found.start()]}Codeact{owner}{test[found.end() :]}"
    return test


def _checked(task: Task, owner: str, over: bool) -> str:
    """A class that copies what the program's methods return; "" where the prompt says no method that it could have.

    It stands over the program's class, or (not `over`) around an object of it: methods that are final, static, generic or of other
    types than the prompt's cannot be overridden.
    """
    prompt, found = task.prompt, []
    plain = bare(prompt, "java")
    for brace in re.finditer(r"\{", plain):
        method = METHOD.search(re.split(r"[;{}]", plain[: brace.start()])[-1])
        if method and method[3] not in ("new", "else", "return", "throw", "class") and method[4] not in ("if", "for", "while", "switch", "catch"):
            if (method[3] == "void" and over) or "private" in method[1]:
                continue
            static = "static" in method[1].split()
            names = [part.split()[-1].removesuffix("[]") for part in GENERIC.sub("", method[5]).split(",") if part.strip()]
            kind = method[3]
            holder = owner if static else "super" if over else "codeact"
            given = f"{holder}.{method[4]}({', '.join(names)})"
            call = f"CodeactPlain.of({given})"
            said = ", ".join([f'"{method[4]}"', *(f"(Object) {name}" for name in names)])
            body = f"CodeactPlain.called({said}); return ({_boxed(kind)}) CodeactPlain.told({call});" if kind != "void" else f"{given};"
            access = ("" if static or not over else "@Override ") + ("public " if "public" in method[1] else "") + ("static " if static else "")
            found.append(f"  @SuppressWarnings(\"unchecked\") {access}{method[2]}{kind} {method[4]}({method[5].strip()}) {{ {body} }}")
    head = f"class Codeact{owner} extends {owner} {{" if over else f"class Codeact{owner} {{\n  private final {owner} codeact = new {owner}();"
    return f"{head}\n" + "\n".join(found) + "\n}" if found else ""


def _boxed(kind: str) -> str:
    return {"int": "Integer", "long": "Long", "double": "Double", "float": "Float", "boolean": "Boolean", "char": "Character", "short": "Short",
            "byte": "Byte"}.get(kind, kind)  # fmt: skip


PLAIN = harness("Plain.java")
READER = harness("Examples.java")
