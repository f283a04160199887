"""Result files: JSON, and where many rows would be more than text is worth in git (`*.json.xz`) the same JSON compressed.

    python -m benchmarks.result_files experiments/results/compare_figures.json.xz | less

prints one as text; so does `xz -dc`.
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from typing import Any

PACKING = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0}]  # text has no columns of four bytes


def read(path: Path) -> Any:
    """The document of a `.json` or `.json.xz` file."""
    data = path.read_bytes()
    return json.loads(lzma.decompress(data) if path.suffix == ".xz" else data)


def write(path: Path, document: Any) -> None:
    """The document as text, or as `.json.xz`: the same bytes for the same document. NaN is refused."""
    packed = path.suffix == ".xz"
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, **({} if packed else {"indent": 1})) + "\n"
    data = text.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(data, filters=PACKING) if packed else data)


def main() -> None:
    for name in sys.argv[1:]:
        print(json.dumps(read(Path(name)), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
