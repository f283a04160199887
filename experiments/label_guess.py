"""Who names a function's language better: the signs that curation looks for, or a model of a library?

    pip install magika==1.0.3
    python -m experiments.label_guess -o experiments/results/label_guess.json

magika (https://pypi.org/project/magika/) is no dependency of the package: it is installed by hand for this comparison. Both read
the 164 functions of HumanEvalPack in each of six languages, prompt and canonical solution, without a label. "right": named as the
language that it is; "wrong": named as another one (a model that says "text" or "unknown" abstains, as signs that find nothing do).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from magika import Magika

from benchmarks import machine, result_files
from benchmarks.data_folder import DATA
from codeact.curate.languages import guess_language

LANGUAGES = {"python": "python", "js": "javascript", "java": "java", "go": "go", "cpp": "cpp", "rust": "rust"}
ABSTAINS = ("", "txt", "unknown", "empty", "undefined")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("-o", "--out", type=Path, default=Path("experiments/results/label_guess.json"))
    args = parser.parse_args()
    model = Magika()
    readers: dict[str, Callable[[str], str]] = {
        "signs": guess_language,
        "magika": lambda code: str(model.identify_bytes(code.encode()).output.label),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, language in LANGUAGES.items():
        with gzip.open(args.data / f"humanevalpack_{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        codes = [row["prompt"] + row["canonical_solution"] for row in rows]
        found[language] = {reader: measure(read, codes, language) for reader, read in readers.items()}
        print(f"{language:<12}{found[language]}", flush=True)
    result = machine.provenance() | {"magika": importlib.metadata.version("magika"), "languages": found}
    result_files.write(args.out, result)


def measure(read: Callable[[str], str], codes: Sequence[str], language: str) -> dict[str, Any]:
    """Shares named rightly and wrongly, the commonest wrong names, and milliseconds of processor time a function."""
    start = time.process_time()
    names = [read(code) for code in codes]
    spent = time.process_time() - start
    wrong = [name for name in names if name != language and name not in ABSTAINS]
    return {
        "functions": len(codes),
        "right": round(names.count(language) / len(codes), 3),
        "wrong": round(len(wrong) / len(codes), 3),
        "named": dict(Counter(wrong).most_common(4)),
        "cpu_ms": round(1e3 * spent / len(codes), 2),
    }


if __name__ == "__main__":
    main()
