"""Write stages.json anew, where a stage's VERSION was raised: `python tests/golden/write.py`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.golden import stages


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CODEACT_CACHE"] = str(Path(folder) / "cache")
        found = stages.rounded(stages.run_all(Path(folder)))
    version, reads = stages.planned()
    old = json.loads(stages.FILE.read_text(encoding="utf-8")) if stages.FILE.exists() else {"set": None}
    if old["set"] == stages.SET:
        wrong = [line for line in stages.faults(old, found, version, reads) if not line.startswith(stages.WRITE)]
        if wrong:
            print(*wrong, sep="\n", file=sys.stderr)
            return 1
    head = {"set": stages.SET, "libraries": stages.libraries(), "versions": version}
    lines = [f" {json.dumps(name)}: {json.dumps(found[name])}" for name in found]
    top = "".join(f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    stages.FILE.write_text("{" + top + '"stages": {\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    print(f"{stages.FILE.name}: {len(found)} stages, {stages.FILE.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
