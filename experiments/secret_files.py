"""What the check for secrets and its peers find in the files of public repositories, and among planted settings.

    python -m experiments.secret_files --repositories FOLDER ... --gitleaks gitleaks.toml

A folder is a clone, bare or not, of which the newest commit is read: up to --most files of code, settings, notebooks and prose, in the
order of their paths' hashes. A finding is one value of a kind at one place in a repository (the committed result repeats four values); of addresses the first
four of a repository are looked at. Findings are named by place, never by what they are. The verdicts are those of
secrets_read.json.xz beside the result: "right" is a key, a password or an address that is or was in use, "wrong" all else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact import confidential
from codeact.config import SECRET_KINDS
from experiments import secret_peers
from experiments.secrets_found import plants

OUT = Path("experiments/results/secret_files.json.xz")
SIZE = 60_000
ATTACKS = ("juice-shop+juice-shop", "vulhub+vulhub", "OWASP+NodeGoat")  # programs made to be attacked, and how
MOST_ADDRESSES = 4
ADDRESS = re.compile(r"[\w.+%-]+@[\w.-]+")
VALUE = re.compile(r"[=:]\s*[\"']?(?:[^\s\"'=:]+[\"']?)\s*.{0,40}$|.{1,200}")
READ = re.compile(
    r"(?i)(?:\.(?:env|ya?ml|ini|cfg|conf|properties|toml|md|rst|ipynb|sh|bash|py|js|ts|php|rb|java|go|sql|xml|txt|tf|json|ps1|bat|example|dist|sample|"
    r"local|template|cs|kt)|/Dockerfile|/\.\w[\w.]*)$"
)


def files(folder: Path, most: int, wanted: re.Pattern[str] = READ, size: int = SIZE) -> Iterator[tuple[str, str]]:
    """(path, text) of the newest commit's files whose path fits a pattern and that are no larger."""
    listed = _git(folder, "-c", "core.quotepath=off", "ls-tree", "-r", "-l", "-z", "HEAD").decode("utf-8", "replace")
    rows = []
    for line in listed.split("\0"):
        facts, _, path = line.partition("\t")
        _, kind, blob, bytes_ = facts.split() if path else ("", "", "", "-")
        if kind == "blob" and bytes_.isdigit() and 0 < int(bytes_) <= size and wanted.search(f"/{path}"):
            rows.append((hashlib.md5(path.encode(), usedforsecurity=False).hexdigest(), blob, path))
    chosen = sorted(rows)[:most]
    packed = _git(folder, "cat-file", "--batch", given="".join(f"{blob}\n" for _, blob, _ in chosen))
    at = 0
    for _, _, path in chosen:
        end = packed.index(b"\n", at)
        head = packed[at:end].split()
        if head[-1] == b"missing":
            at = end + 1
            continue
        length = int(head[2])
        yield path, packed[end + 1 : end + 1 + length].decode("utf-8", "replace")
        at = end + 2 + length


def _git(folder: Path, *words: str, given: str = "") -> bytes:
    return subprocess.run(
        ["git", "-C", str(folder), *words], input=given.encode(), stdout=subprocess.PIPE, check=True
    ).stdout


def findings(text: str) -> Iterator[tuple[str, int, str]]:
    """(reason, line, what it says) of the first finding of each kind; the last is only compared with others."""
    for kind in SECRET_KINDS:
        for reason, position in confidential._search(text, [kind]):
            start = text.rfind("\n", 0, position) + 1
            said = ADDRESS.match(text, position) or VALUE.search(text[start:].partition("\n")[0])
            yield reason, text.count("\n", 0, position) + 1, said[0].strip(" \"'=:,;") if said else ""
            break


def planted(peers: dict[str, secret_peers.Lines], rounds: int) -> dict[str, dict[str, int]]:
    """How many planted secrets, each in a function of its own, are found here and by the peers."""
    generator = random.Random(0)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for _ in range(rounds):
        for kind, texts in plants(lambda n, letters: "".join(generator.choice(letters) for _ in range(n))).items():
            for text in texts:
                code = f"def f():\n    {text}\n"
                found[kind].update(planted=1, codeact=any(True for _ in findings(code)))
                found[kind].update({name: bool(scan(code)) for name, scan in peers.items()})
    return {kind: dict(some) for kind, some in found.items()}


def look(folder: Path, most: int, verdicts: dict[str, Any]) -> dict[str, Any]:
    """One repository: its findings with their verdicts."""
    name = folder.parent.name if folder.name in ("repo", ".git") else folder.name
    seen: set[str] = set()
    found, count, seconds = [], 0, 0.0
    for path, text in files(folder, most):
        count += 1
        began = time.process_time()
        rows = list(findings(text))
        seconds += time.process_time() - began
        for reason, line, said in rows:
            mail = reason.startswith(confidential.PERSONAL)
            if said in seen or (mail and sum(f["reason"] == reason for f in found) >= MOST_ADDRESSES):
                continue
            seen.add(said)
            place = f"{path}:{line}"
            found.append(
                {"place": place, "reason": reason, **verdicts.get(f"{name}:{place}", {"verdict": "unread", "why": ""})}
            )
    commit = _git(folder, "rev-parse", "HEAD").decode().strip()
    return {"commit": commit, "files": count, "cpu_seconds": round(seconds, 1), "findings": found}


def tallied(repositories: dict[str, Any]) -> dict[str, Any]:
    """Verdicts and precision by kind of secret, and of all."""
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    for finding in (one for repository in repositories.values() for one in repository["findings"]):
        reason = finding["reason"].partition(": ")[2]
        kind = reason if reason in ("password", "key", "password in a URL", "e-mail address") else "key of a known form"
        tally[kind][finding["verdict"]] += 1
        tally["all"][finding["verdict"]] += 1
    return {k: {**n, "precision": round(n["right"] / max(1, n["right"] + n["wrong"]), 3)} for k, n in tally.items()}


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", nargs="*", type=Path, default=[], help="none: verdicts and planted secrets alone are put into the result that is there")
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--gitleaks", type=Path, help="its `gitleaks.toml`, for the comparison on planted secrets")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args()
    read = options.output.with_name("secrets_read.json.xz")
    verdicts = result_files.read(read) if read.exists() else {}
    result: dict[str, Any] = {**provenance(), "repositories": {}}
    if not options.repositories:
        result = result_files.read(options.output)
        for name, repository in result["repositories"].items():
            for finding in repository["findings"]:
                finding.update(verdicts.get(f"{name}:{finding['place']}", {}))
    for folder in options.repositories:
        name = folder.parent.name if folder.name in ("repo", ".git") else folder.name
        found = result["repositories"][name] = look(folder, options.most, verdicts)
        print(folder, found["files"], len(found["findings"]), flush=True)
    if options.gitleaks:
        scan = secret_peers.by_gitleaks(options.gitleaks)
        peers = {"detect-secrets": secret_peers.by_detect_secrets, "gitleaks": scan}
        result["planted"] = planted(peers, options.rounds)
    result["kinds"] = tallied(result["repositories"])
    result["kinds_without_attacks"] = tallied({n: r for n, r in result["repositories"].items() if n not in ATTACKS})
    print(json.dumps(result["kinds"], indent=1))
    result_files.write(options.output, result)


if __name__ == "__main__":
    main()
