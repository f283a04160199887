"""Records of a repository's history: a commit that changes one function is its message, the function before, and after."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from codeact.errors import InputError
from codeact.harvesting.documentation import MAX_FILE_BYTES, Source, count_words
from codeact.harvesting.files import PYTHON, Wanted, is_skipped_folder, language_name, unwanted
from codeact.harvesting.functions import python_sources
from codeact.harvesting.grammar_functions import grammar_sources
from codeact.progress import track

MOST_FILES = 5  # of any kind: a message about more is seldom about the one function
# Nothing of the repository's own configuration may run a program, and nothing is fetched.
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "-c", "log.showSignature=false")
_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
_TRAILER = re.compile(
    r"^(?:[A-Z][\w-]*-by|Co-authored-by|Change-Id|Cc|Bug|PiperOrigin-RevId|Closes|Fixes|Resolves|Refs?|See-also|Link|PR-URL|git-svn-id"
    r"|Created by MOE|Reviewed-on)\s*:.*$|^MOE_MIGRATED_REVID=.*$|^-{3,}\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSES = r"(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)"
_ISSUE = re.compile(r"(?:issues?\s*)?#\d+|\bissues? \d+|\bgh-\d+|https?://\S+/(?:issues|pull|merge_requests)/\d+\S*", re.IGNORECASE)
_REFERS = re.compile(rf"\b(?:{_CLOSES}|refs?|references|see(?: also)?|part of|addresses|relate[sd] to|and|pr)\b", re.IGNORECASE)
_NUMBER = re.compile(
    rf"\s*\((?:#|!|gh-|GH-)\d+\)|^\[?[A-Z][A-Z0-9]+-\d+\]?:?\s*|^(?:bpo|gh)-\d+:\s*|[\s,;.(]+(?i:{_CLOSES})\s+#\d+\)?\.?$"
)
_EMPTY_MESSAGE = re.compile(
    r"(?:merge|revert|bump|release|version|wip|typos?|fixup!|squash!|amend!|lint|format|reformat|cleanup|clean up|minor|update|backport)\b"
    r"[^.\n]{0,40}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A commit's one changed function: full hash, path inside the root, language, name, line after the change, both texts, tokens after."""

    commit: str
    relative: str
    language: str
    name: str
    line: int
    instruction: str
    response: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    hash: str
    message: str
    files: tuple[tuple[str, str, str], ...]  # of modified files: blob before, blob after, path
    touched: int


def head_of(root: Path) -> str:
    """The commit that is checked out.

    Raises:
        InputError: as `changes`.
    """
    return _git(root, "rev-parse", "--verify", "HEAD").strip()


def changes(root: Path, count: int, wanted: Wanted, skipped: Counter[str]) -> Iterator[Change]:
    """The commits that change one function, from the newest of `count` back; what is left out is counted in `skipped`.

    Read by `git log` and `git cat-file`, with everything off that a repository's configuration could start. Merges are no commits
    here, and neither is one that touches more than 5 files. Names of functions must be the same before and after.

    Args:
        root: a folder of a repository; only commits that change something in it count, and only files in it.
        count: so many of the newest commits are looked at.
        wanted: languages and patterns, asked of the path inside the root.

    Raises:
        InputError: no git, no repository, or one without a commit.
        MissingExtraError: the grammar of a language is not installed.
    """
    command = ["git", *_SAFE, "-C", str(root), "cat-file", "--batch"]
    log = _log(root, count)
    with (
        track("commits", len(log), "commits") as progress,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | _ENVIRONMENT) as blobs,
    ):
        for commit in log:
            progress.advance()
            message = _clean(commit.message)
            if not message:
                skipped["commit: thin message"] += 1
                continue
            found = list(_changed(blobs, commit, wanted)) if commit.touched <= MOST_FILES else []
            if len(found) != 1:
                skipped["commit: not one function changed"] += 1
                continue
            yield _record(commit, message, *found[0])


def _record(commit: _Commit, message: str, relative: str, language: str, before: Source, after: Source) -> Change:
    told = f"{message}\n\nChange this {language_name(language)} function:\n\n```{language}\n{before.text}\n```"
    return Change(commit.hash, relative, language, after.name, after.line, told, after.text, after.tokens)


def _changed(blobs: subprocess.Popen[bytes], commit: _Commit, wanted: Wanted) -> Iterator[tuple[str, str, Source, Source]]:
    for old, new, path in commit.files:
        language = wanted.language(path)
        if not language or wanted.excludes(path) or unwanted(path, language) or any(map(is_skipped_folder, path.split("/")[:-1])):
            continue
        before, after = (_functions(_blob(blobs, name), language, Path(path).suffix.lower()) for name in (old, new))
        if before is None or after is None:
            continue
        for name in before.keys() & after.keys():
            if before[name].tokens != after[name].tokens:
                yield path, language, before[name], after[name]


def _functions(content: bytes, language: str, suffix: str) -> Mapping[str, Source] | None:
    """The functions of a file by name, those whose name is there twice left out; None for a file that cannot be read."""
    if len(content) > MAX_FILE_BYTES:
        return None
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        found = list(python_sources(text) if language == PYTHON else grammar_sources(text, language, suffix))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names = Counter(source.name for source in found)
    return {source.name: source for source in found if names[source.name] == 1}


def _clean(message: str) -> str:
    """A message without trailers, numbers of issues and the like; "" where it does not say what to do."""
    subject, _, body = message.strip().partition("\n")
    body = "\n".join(line for line in _TRAILER.sub("", body).split("\n") if not _only_refers(line))
    text = f"{_NUMBER.sub('', subject).strip()}\n\n{body.strip()}".strip()
    text = re.sub(r"\n{3,}", "\n\n", text)
    return "" if count_words(text) < 3 or _EMPTY_MESSAGE.fullmatch(text) else text


def _only_refers(line: str) -> bool:
    """Whether a line does nothing but name issues: "Fixes #12, closes #14"."""
    rest, issues = _ISSUE.subn("", line)
    return issues > 0 and re.search(r"\w", _REFERS.sub("", rest)) is None


def _log(root: Path, count: int) -> list[_Commit]:
    form = "%x00%x00%H%x00:%B%x00"  # the colon keeps an empty message from making a run of NULs
    out = _git(root, "log", f"--max-count={count}", "--no-merges", "--no-renames", "--raw", "--no-abbrev", "--relative",
               "--no-ext-diff", "--no-textconv", "-z", f"--format={form}", "HEAD", "--", ".")  # fmt: skip
    commits = []
    for part in out.split("\0\0\0") if out else ():
        name, _, rest = part.lstrip("\0").partition("\0")
        message, _, raw = rest.partition("\0")
        fields = [field for field in raw.strip("\n\0").split("\0") if field.strip()]
        files = []
        for entry, path in zip(fields[::2], fields[1::2], strict=False):
            words = entry.strip().split(" ")
            if len(words) == 5 and words[4] == "M" and words[0].lstrip(":").startswith("100"):
                files.append((words[2], words[3], path))
        commits.append(_Commit(name.strip(), message.removeprefix(":"), tuple(files), len(fields) // 2))
    return commits


def _blob(blobs: subprocess.Popen[bytes], name: str) -> bytes:
    assert blobs.stdin is not None
    assert blobs.stdout is not None
    blobs.stdin.write(name.encode() + b"\n")
    blobs.stdin.flush()
    header = blobs.stdout.readline().split()
    if len(header) < 3:
        return b""
    content = blobs.stdout.read(int(header[2]))
    blobs.stdout.read(1)
    return content


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *_SAFE, "-C", str(root), *words], capture_output=True, check=False, env=os.environ | _ENVIRONMENT
        )
    except FileNotFoundError as error:
        raise InputError("harvest: commits are read by git, which is not installed; install it, or leave commits out") from error
    if done.returncode:
        why = " ".join(done.stderr.decode("utf-8", "replace").split())[:200]
        raise InputError(f"harvest: commits of {root}: {why or 'git ends without a word'}; give a folder of a git repository")
    return done.stdout.decode("utf-8", "replace")
