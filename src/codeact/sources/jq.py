"""Lines of shell that make rows of a data file with jq, for messages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shlex import quote

from codeact.sources.names import DELIMITED, TEXT_KINDS, kind_of

ROW = '(if type == "array" then .[] else . end)'  # each row of JSON lines, and of a list
PLACE = "FILE"  # of data that are no single file here, or of a kind that is not turned into JSON below
UNPACK = {".gz": "gzip -dc", ".zst": "zstd -dc", ".bz2": "bzip2 -dc", ".xz": "xz -dc"}
_TABLE = 'import csv, json; [print(json.dumps(r)) for r in csv.DictReader(open(0, encoding="utf-8-sig", newline=""){mark})]'
_PARQUET = (
    "import json, sys, pyarrow.parquet as p;"
    " [print(json.dumps(r, default=str)) for b in p.ParquetFile(sys.argv[1]).iter_batches() for r in b.to_pylist()]"
)


def command(program: str, file: str) -> str:
    """A line for the shell that runs a program of jq on a file's rows and writes `rows.jsonl`.

    Args:
        program: of jq.
        file: JSON, CSV, TSV (also packed) or Parquet; of any other source the line says `FILE`.
    """
    kind, made = kind_of(Path(file)) if Path(file).is_file() else "", f"jq -c {quote(program)}"
    if kind == ".parquet":
        return f"python3 -c {quote(_PARQUET)} {quote(file)} | {made} > rows.jsonl"
    if kind not in TEXT_KINDS:
        return f"{made} {PLACE} > rows.jsonl"
    unpack = UNPACK.get(Path(file).suffix.lower(), "")
    if kind in DELIMITED:
        rows = quote(_TABLE.format(mark=', delimiter="\\t"' if kind == ".tsv" else ""))
        return f"{unpack} {quote(file)} | python3 -c {rows} | {made} > rows.jsonl" if unpack else f"python3 -c {rows} < {quote(file)} | {made} > rows.jsonl"
    return f"{unpack} {quote(file)} | {made} > rows.jsonl" if unpack else f"{made} {quote(file)} > rows.jsonl"


def value_of(name: str) -> str:
    """A column's value in jq."""
    return f".{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f".{literal(name)}"


def literal(value: object) -> str:
    """A value as jq writes it."""
    return json.dumps(value, ensure_ascii=False)
