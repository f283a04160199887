"""What comes with the package, from a wheel or in a checkout: recipes and pages, found by name from any folder."""

from __future__ import annotations

from pathlib import Path

from codeact.errors import InputError, did_you_mean

SUFFIX = ".yaml"


def folder() -> Path:
    """Where the shipped recipes lie: in the package, or beside its source in a checkout.

    Raises:
        InputError: neither is there; the installation is not whole.
    """
    return _folder("recipes", f"demo{SUFFIX}")


def _folder(kind: str, member: str) -> Path:
    package = Path(__file__).parent
    folders = (package / kind, package.parents[1] / kind)
    found = next((folder for folder in folders if (folder / member).is_file()), None)
    if found is None:
        raise InputError(f"this installation holds no {kind}; install codeact again: pip install --force-reinstall codeact")
    return found


def names() -> list[str]:
    """Every shipped file by its name without suffix, such as `demo` and `accelerate/ddp`."""
    root = folder()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob(f"*{SUFFIX}"))


def about(name: str) -> str:
    """The first line of a shipped file's opening comment."""
    first = (folder() / f"{name}{SUFFIX}").read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def find(given: str | Path) -> Path:
    """The file that a user means: one that exists, else a shipped one by name (`demo`, `demo.yaml`, `recipes/demo.yaml`).

    Raises:
        InputError: neither; the nearest shipped name is given.
    """
    path = Path(given)
    if path.is_file():
        return path
    wanted = path.as_posix().removeprefix("./").removeprefix("recipes/").removesuffix(SUFFIX)
    known = names()
    if wanted in known and not path.is_absolute():
        return folder() / f"{wanted}{SUFFIX}"
    mend = did_you_mean(wanted, known).removeprefix("; ") or f"the shipped ones are {', '.join(known)}"
    what = "cannot be read: it is a folder" if path.is_dir() else "does not exist"
    raise InputError(f"recipe {given} {what}; give a YAML file or a shipped recipe: {mend}")


def copy(name: str, target: Path) -> Path:
    """Write a shipped recipe into a folder, under its own name without the folder it has here; returns the new file.

    Raises:
        InputError: no such recipe, a file of that name is there, or the folder cannot be written.
    """
    text = find(name).read_text(encoding="utf-8")
    own = target / f"{name.removesuffix(SUFFIX).rpartition('/')[2]}{SUFFIX}"
    try:
        with own.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise InputError(f"{own} is there already; move it away, or go to another folder") from error
    except OSError as error:
        raise InputError(f"{own} cannot be written: {error.strerror}; go to another folder") from error
    return own


def pages() -> dict[str, str]:
    """Every page of the documentation: its name, such as `scoring` and `strategies/cdas`, and its heading.

    Raises:
        InputError: this installation holds no pages.
    """
    root = _folder("docs", "index.md")
    found = sorted(root.rglob("*.md"))
    return {path.relative_to(root).with_suffix("").as_posix(): _heading(path) for path in found}


def page(name: str) -> str:
    """The text of one page (`scoring`, `scoring.md`, `docs/scoring.md`), in Markdown.

    Raises:
        InputError: no such page; the nearest is given.
    """
    wanted, known = name.removeprefix("docs/").removesuffix(".md"), pages()
    if wanted not in known:
        raise InputError(f"no page {name}{did_you_mean(wanted, known) or '; codeact docs lists them'}")
    return (_folder("docs", "index.md") / f"{wanted}.md").read_text(encoding="utf-8")


def _heading(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        return stream.readline().lstrip("# ").rstrip("\n")
