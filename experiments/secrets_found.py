"""What the check for secrets finds: in public data and in installed packages, each finding read by hand; and planted ones.

    python -m experiments.secrets_found --packages huggingface_hub pandas --data FILE ... -o experiments/results/secrets_found.json.xz

`stdlib` and the packages are harvested; the data are instruction files of any known form. A finding is named by its source and
place, never by what it is. Its verdict comes from secrets_read.json.xz beside the result, which a person wrote: "right" (a secret, or
the address of a person or an institution) or "wrong", and why. Beside each source stands how many records hold a hit of the
library's own rules without the question whether it is a placeholder.

Result: experiments/results/secrets_*.json*
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import string
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from detect_secrets.plugins.keyword import KeywordDetector

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact import confidential
from codeact.config import SECRET_KINDS
from codeact.harvesting import harvest_functions
from codeact.records import Message, Record, read_records
from codeact.storage import read_rows

MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE)
WORD = string.ascii_letters + string.digits
Draw = Callable[[int, str], str]


def plants(drawn: Draw) -> dict[str, list[str]]:
    """Secrets that nobody owns, as people write them."""
    key = drawn(64, WORD + "+/")
    password = drawn(4, WORD) + drawn(2, "!#%&*-+") + drawn(4, WORD)
    return {
        "AWS key": [
            f"client('AKIA{drawn(16, string.ascii_uppercase + string.digits)}')",
            f'AWS_SECRET_ACCESS_KEY = "{drawn(40, WORD)}"',
        ],
        "token of a service": [
            f"'ghp_{drawn(36, WORD)}'",
            f"'sk_live_{drawn(24, WORD)}'",
            f"'hf_{drawn(34, string.ascii_letters)}'",
            f"'AIza{drawn(35, WORD)}'",
        ],
        "private key": [f"'-----BEGIN RSA PRIVATE KEY-----\\n{key}\\n'", f"-----BEGIN PRIVATE KEY-----\n{key}\n{key}"],
        "password in code": [
            f"password = '{password}'",
            f"connect(user='svc', passwd=\"{password}\")",
            f"{{'db_password': '{password}'}}",
        ],
        "password in settings": [f"export DB_PASSWORD={password}", f"password: {password}"],
        "password in a URL": [f"'postgres://svc:{password}@db.bank.de:5432/x'", f"mysql://root:{password}@10.0.0.5/db"],
        "api key": [f"api_key = '{drawn(32, WORD)}'", f'client_secret: "{drawn(40, "0123456789abcdef")}"'],
        "e-mail address": [
            f"# {drawn(5, string.ascii_lowercase)}.{drawn(7, string.ascii_lowercase)}@uni-ulm.de",
            f"'{drawn(9, string.ascii_lowercase)}{drawn(2, string.digits)}@qq.com'",
        ],
    }


def measure_plants(pool: list[Record], rounds: int) -> dict[str, Any]:
    """Share of planted secrets that are found, each put at the end of a line of another real function."""
    generator = random.Random(0)
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for _ in range(rounds):
        for kind, texts in plants(lambda n, letters: "".join(generator.choice(letters) for _ in range(n))).items():
            for text in texts:
                base = generator.choice(pool)
                lines = base.response.split("\n")
                at = generator.randrange(len(lines) + 1)
                answer = "\n".join([*lines[:at], "    " + text, *lines[at:]])
                record = Record(base.id, (base.messages[0], Message("assistant", answer)))
                total[kind] += 1
                found[kind] += confidential.find_confidential(record, SECRET_KINDS) is not None
    return {kind: {"planted": total[kind], "found": found[kind]} for kind in total}


def raw_hit(text: str, detector: KeywordDetector) -> bool:
    """Whether the library's rules, or any address, hit before the question for placeholders."""
    if MAIL.search(text) or any(pattern.search(text) for _, pattern, _ in confidential._key_rules()):
        return True
    return any(True for line in text.split("\n") for _ in detector.analyze_string(line[:1500]))


def look(name: str, records: Iterable[tuple[str, Record]], verdicts: dict[str, Any]) -> dict[str, Any]:
    """One source: counts, and each finding with its place and verdict."""
    detector = KeywordDetector()
    findings, count, raw, seconds = [], 0, 0, 0.0
    for place, record in records:
        count += 1
        raw += raw_hit("\n".join(m.content for m in record.messages), detector)
        began = time.process_time()
        finding = confidential.find_confidential(record, SECRET_KINDS)
        seconds += time.process_time() - began
        if finding is not None:
            read = verdicts.get(f"{name}:{place}", {"verdict": "unread"})
            findings.append({"place": place, "reason": finding.reason, **read})
    right = sum(finding["verdict"] == "right" for finding in findings)
    print(f"{name}: {count} records, {raw} raw, {len(findings)} found, {right} right", flush=True)
    return {
        "records": count,
        "raw": raw,
        "found": len(findings),
        "right": right,
        "cpu_seconds": round(seconds, 1),
        "findings": findings,
    }


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="*", default=[])
    parser.add_argument("--data", nargs="*", type=Path, default=[])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    read = options.output.with_name("secrets_read.json.xz")
    verdicts = result_files.read(read) if read.exists() else {}
    sources: dict[str, Any] = {}
    pool = harvest_functions(["stdlib"], secrets=()).records
    sources["stdlib"] = look("stdlib", [(f"{r.meta['file']}:{r.meta['line']}", r) for r in pool], verdicts)
    for package in options.packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        records = harvest_functions([spec.submodule_search_locations[0]], secrets=()).records
        sources[package] = look(package, [(f"{r.meta['file']}:{r.meta['line']}", r) for r in records], verdicts)
    for file in options.data:
        source = read_rows(str(file), "train")
        usable = read_records(source.rows, {}, source.name).records
        sources[file.name] = look(file.name, [(r.id, r) for r in usable], verdicts)
    total = {key: sum(found[key] for found in sources.values()) for key in ("records", "raw", "found", "right")}
    result = {**provenance(), "total": total, "planted": measure_plants(pool, options.rounds), "sources": sources}
    result_files.write(options.output, result)
    print(json.dumps({"total": total, "planted": result["planted"]}, indent=1))


if __name__ == "__main__":
    main()
