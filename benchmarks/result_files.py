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

DIGITS = 8  # of a number that is kept: no page shows more than six, and what is behind them is noise that does not pack
PACKING = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0}]  # text has no columns of four bytes


def read(path: Path) -> Any:
    """The document of a `.json` or `.json.xz` file."""
    data = path.read_bytes()
    return json.loads(lzma.decompress(data) if path.suffix == ".xz" else data)


def shortened(document: Any) -> Any:
    """The same with every float to `DIGITS` significant digits."""
    if isinstance(document, dict):
        return {key: shortened(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [shortened(value) for value in document]
    return float(f"{document:.{DIGITS}g}") if isinstance(document, float) else document


def write(path: Path, document: Any) -> None:
    """The document as text, or as `.json.xz`: the same bytes for the same document, floats to eight digits. NaN is refused."""
    packed = path.suffix == ".xz"
    form: dict[str, Any] = {"separators": (",", ":")} if packed else {"indent": 1}
    text = json.dumps(shortened(document), ensure_ascii=False, allow_nan=False, **form) + "\n"
    data = text.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(data, filters=PACKING) if packed else data)


def main() -> None:
    for name in sys.argv[1:]:
        print(json.dumps(read(Path(name)), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
