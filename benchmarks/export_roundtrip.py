"""Whether LLaMA-Factory and axolotl, with their own loaders, get the tokens and labels from an export that codeact trains on.

    python -m benchmarks.export_roundtrip --write-pool pool.jsonl
    codeact select pool.jsonl --model MODEL --strategy random --unit records --ratio 1 -o chosen.jsonl
    codeact export chosen.codeact --to llama-factory -o for-llama-factory
    python -m benchmarks.export_roundtrip chosen.codeact=llama-factory=for-llama-factory=/path/to/their/python ...

Each tool needs an environment of its own, since their versions of transformers differ from ours; no training is run.
Samples are compared whole, token by token and label by label, and in any order, as LLaMA-Factory's rows are packed.
The pool holds what each tool makes something else of when it makes the tokens itself, from text.

Result: benchmarks/results/export_roundtrip.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files
from codeact.config import load_recipe
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records
from codeact.training.data import tokenise_records

LLAMA_FACTORY = """
import importlib.machinery, json, os, sys, types, yaml
os.environ["DISABLE_VERSION_CHECK"] = "1"
try:
    import torchaudio
except ImportError:  # only for audio
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
settings = yaml.safe_load(open("sft.yaml")) | {"bf16": False, "use_cpu": True}
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
model, data, training, _, _ = get_train_args(settings)
module = load_tokenizer(model)
template = get_template_and_fix_tokenizer(module["tokenizer"], data)
rows = get_dataset(template, model, data, training, stage="sft", **module)["train_dataset"]
found = []
for row in rows:
    for place in range(1, max(row["attention_mask"]) + 1):
        where = [n for n, other in enumerate(row["attention_mask"]) if other == place]
        found.append([[row["input_ids"][n] for n in where], [row["labels"][n] for n in where]])
json.dump(found, open(sys.argv[1], "w"))
"""

AXOLOTL = """
import json, sys, yaml
from transformers import AutoTokenizer
from axolotl.utils.data.sft import _load_and_process_single_dataset
from axolotl.utils.dict import DictDefault
settings = DictDefault(yaml.safe_load(open("sft.yaml")))
tokenizer = AutoTokenizer.from_pretrained(settings.base_model)
rows, _ = _load_and_process_single_dataset(settings.datasets[0], settings, tokenizer, "train", 0)
json.dump([[list(row["input_ids"]), list(row["labels"])] for row in rows], open(sys.argv[1], "w"))
"""

TOOLS = {"llama-factory": ("llamafactory", LLAMA_FACTORY), "axolotl": ("axolotl", AXOLOTL)}


def theirs(folder: Path, python: str, script: str) -> list[Any]:
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "rows.json"
        subprocess.run([python, "-c", script, str(out)], cwd=folder, check=True)
        rows: list[Any] = json.loads(out.read_text(encoding="utf-8"))
        return rows


def version(python: str, package: str) -> str:
    code = f"import {package}, transformers; print({package}.__version__, transformers.__version__)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]


def pool() -> list[dict[str, Any]]:
    """Conversations with tools, thoughts, system turns, turns that are context only, that do not alternate, and some plain ones."""

    def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
        return {"role": role, "content": content, **more}

    def calls(name: str, **arguments: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}

    def tool(name: str, **properties: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, "description": name, "parameters": {"type": "object", "properties": properties}}}

    talks = [[turn("user", f"Write function number {n}."), turn("assistant", f"def f{n}(x):\n    return x + {n}")] for n in range(4)]
    talks += [
        [turn("system", "Be brief."), turn("user", "Add two."), turn("assistant", "a + b"), turn("user", "And three?"), turn("assistant", "a + b + c")],
        [turn("user", "写一个函数，把两个数相加。"), turn("assistant", "def 加(a, b):\n    return a + b  # 两数之和")],
        [turn("system", ""), turn("user", "An empty system turn?"), turn("assistant", "Yes.")],
        [turn("user", "A line separator \u2028 in the question"), turn("assistant", "print('a\u2028b')")],
        [turn("user", "Two users"), turn("user", "in a row"), turn("assistant", "Fine then.")],
        [turn("user", "Begin."), turn("assistant", "The first half"), turn("assistant", "and the second.")],
        [turn("assistant", "I speak first."), turn("user", "Well?"), turn("assistant", "An answer.")],
        [turn("user", "A draft."), turn("assistant", "wrong", weight=0), turn("user", "Again."), turn("assistant", "right")],
        [turn("user", "Only the body."), turn("assistant", "    return 1")],
        [turn("user", "A matrix."), turn("assistant", "[[1, 2], [3, 4]]")],
        [turn("user", "Think."), turn("assistant", "<think>\nI think.\n</think>\n\nDone.")],
        [turn("user", "2 + 2?"), turn("assistant", "4", reasoning_content="Two and two.")],
        [turn("user", "The weather in Rome?"), calls("weather", city="Rome"), turn("tool", "9C", name="weather"), turn("assistant", "9C.")],
    ]
    rows: list[dict[str, Any]] = [{"messages": talk} for talk in talks]
    number = {"type": "integer", "default": None}
    for name, properties, arguments in (
        ("weather", {"city": {"type": "string"}}, {"city": "Paris"}),
        ("add", {"a": number, "b": number}, {"a": 1, "b": None}),
        ("search", {"city": {"type": "integer"}}, {"city": 5}),
    ):
        talk = [turn("user", f"Use {name}."), calls(name, **arguments), turn("tool", "12", name=name), turn("assistant", "It is 12.")]
        rows.append({"messages": talk, "tools": [tool(name, **properties)]})
    return [{"id": str(n), **row} for n, row in enumerate(rows)]


def compared(run_dir: Path, tool: str, folder: Path, python: str) -> dict[str, Any]:
    recipe = load_recipe(run_dir / "recipe.yaml")
    tokenizer = load_tokenizer(recipe.model.name)
    template = load_template(recipe.model.template, tokenizer)
    made = tokenise_records(
        selected_records(Store(run_dir)), template, tokenizer, recipe.model.max_length, recipe.train.train_on_prompt, recipe.pack.overlong
    )
    package, script = TOOLS[tool]
    ours = Counter((tuple(sample["input_ids"].tolist()), tuple(sample["labels"].tolist())) for sample in made.samples)
    rows = Counter((tuple(ids), tuple(labels)) for ids, labels in theirs(folder, python, script))
    tool_version, transformers_version = version(python, package).split()
    same = (ours & rows).total()
    return {
        "tool": tool, "version": tool_version, "transformers": transformers_version, "run": run_dir.stem, "template": template.name,
        "samples": ours.total(), "left_out_by_codeact": len(made.refused), "same": same, "missing": ours.total() - same, "other": rows.total() - same,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", help="RUN=TOOL=FOLDER=PYTHON")
    parser.add_argument("--write-pool", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "export_roundtrip.json")
    options = parser.parse_args()
    if options.write_pool is not None:
        options.write_pool.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in pool()), encoding="utf-8")
        return
    found = []
    for word in options.tools:
        run_dir, tool, folder, python = word.split("=", 3)
        found.append(compared(Path(run_dir), tool, Path(folder), python))
        print(found[-1])
    earlier = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    kept = {"training_step": earlier["training_step"]} if "training_step" in earlier else {}  # made by hand
    result_files.write(options.output, {**machine.provenance(), "tools": found, **kept})


if __name__ == "__main__":
    main()
