"""Whether LLaMA-Factory and axolotl, with their own loaders, make the tokens and labels of an export that codeact makes.

    codeact select pool.jsonl --model MODEL --strategy random -o chosen.jsonl
    codeact export chosen.codeact --to llama-factory -o for-llama-factory
    python -m benchmarks.export_roundtrip chosen.codeact llama-factory=for-llama-factory=/path/to/their/python ...

Each tool needs an environment of its own, since their versions of transformers differ from ours; no training is run.
Counted apart: `newline`, the same tokens, and the tool also learns the newline that the template writes behind an end-of-turn
token (no generation gets there); `other`, other tokens or labels. The pool of the committed result: 40 records of Evol-Instruct,
20 of alpaca_zh, 10 conversations of Firefly, and 10 of two turns whose second answer begins with four blanks.

Result: benchmarks/results/export_roundtrip.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
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
settings = yaml.safe_load(open("sft.yaml")) | {"bf16": False, "use_cpu": True, "packing": False, "neat_packing": False}
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
model, data, training, _, _ = get_train_args(settings)
module = load_tokenizer(model)
template = get_template_and_fix_tokenizer(module["tokenizer"], data)
rows = get_dataset(template, model, data, training, stage="sft", **module)["train_dataset"]
json.dump([[list(row["input_ids"]), list(row["labels"])] for row in rows], open(sys.argv[1], "w"))
"""

AXOLOTL = """
import json, sys, yaml
from datasets import load_dataset
from transformers import AutoTokenizer
from axolotl.prompt_strategies.chat_template import load
from axolotl.utils.dict import DictDefault
settings = DictDefault(yaml.safe_load(open("sft.yaml")))
data = settings.datasets[0]
tokenizer = AutoTokenizer.from_pretrained(settings.base_model)
strategy = load(tokenizer, settings, ds_cfg=data)
rows = load_dataset(data.ds_type, data_files=data.path, split="train")
made = [strategy.tokenize_prompt(row) for row in rows]
json.dump([[list(row["input_ids"]), list(row["labels"])] for row in made], open(sys.argv[1], "w"))
"""

TOOLS = {"llama-factory": ("llamafactory", LLAMA_FACTORY), "axolotl": ("axolotl", AXOLOTL)}


def theirs(folder: Path, python: str, script: str) -> list[Any]:
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "rows.json"
        subprocess.run([python, "-c", script, str(out)], cwd=folder, check=True)
        rows: list[Any] = json.loads(out.read_text(encoding="utf-8"))
        return rows


def version(python: str, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}), version('transformers'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("tools", nargs="+", help="TOOL=FOLDER=PYTHON")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "export_roundtrip.json")
    options = parser.parse_args()
    recipe = load_recipe(options.run_dir / "recipe.yaml")
    tokenizer = load_tokenizer(recipe.model.name)
    template = load_template(recipe.model.template, tokenizer)
    ours = tokenise_records(selected_records(Store(options.run_dir)), template, tokenizer, recipe.model.max_length).samples
    found = {}
    for word in options.tools:
        tool, folder, python = word.split("=", 2)
        package, script = TOOLS[tool]
        rows = theirs(Path(folder), python, script)
        count = {"same": 0, "newline": 0, "other": 0}
        for sample, (ids, labels) in zip(ours, rows, strict=True):
            mine, learnt = sample["input_ids"].tolist(), sample["labels"].tolist()
            rest = tokenizer.decode(ids[len(mine) :]).strip()
            differ = [i for i, (a, b) in enumerate(zip(learnt, labels, strict=False)) if a != b]
            blank = all(not tokenizer.decode(mine[i : i + 1]).strip() and learnt[i] == -100 for i in differ)
            alike = ids[: len(mine)] == mine and rest == ""
            count["other" if not alike or not blank else "newline" if differ else "same"] += 1
        tool_version, transformers_version = version(python, package).split()
        found[tool] = {
            "version": tool_version, "transformers": transformers_version, "template": template.name, "records": len(ours), **count,
        }  # fmt: skip
        print(tool, found[tool])
    result = {**machine.provenance(), "tools": found}
    result_files.write(options.output, result)


if __name__ == "__main__":
    main()
