"""`--variant paper` on a model with a chat template: the published formula with the paper's own template, through every command that scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def instruct(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an instruct model: its tokenizer has a chat template."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("instruct")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM.from_pretrained(tiny_model_dir).save_pretrained(folder)
    return folder


def published(rows: list[dict[str, str]], folder: Path) -> list[float]:
    """The reference algorithm restated: batch 1, two passes, the prompt's own token count as the boundary."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    def mean_loss(text: str, start: int) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        labels = ids.clone()
        labels[:, :start] = -100
        with torch.no_grad():
            return float(model(input_ids=ids, labels=labels, use_cache=False).loss)

    found = []
    for row in rows:
        prompt = f"Question:\n{row['instruction']}\n\nAnswer:\n"
        conditional = mean_loss(prompt + row["output"], len(tokenizer(prompt)["input_ids"]))
        found.append(math.exp(conditional - mean_loss(row["output"], 0)))
    return found


COMMANDS: dict[str, list[str]] = {
    "score": ["--variant", "paper"],
    "sample": ["--set", "score.variant=paper"],
    "select": ["--set", "score.variant=paper"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_scores_are_the_published_formulas(
    command: str, instruct: Path, tiny_embedder_dir: Path, pool_file: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in pool_file.read_text(encoding="utf-8").splitlines()][:12]
    data, run = tmp_path / "some.jsonl", tmp_path / "run"
    write_lines(data, rows)
    common = [command, str(data), "--model", str(instruct), "--embedder", str(tiny_embedder_dir), "--dtype", "float32"]
    common += ["--set", "cluster.k=2", "--set", "sample={strategy: cdas, unit: records}", "--run-dir", str(run), "-o", str(tmp_path / "out.jsonl")]
    first = cli(*common)
    assert first.returncode == 0, first.stderr  # the default variant, with the chat template, in the same run directory
    by_chat = scores(run)
    done = cli(*common, *COMMANDS[command])
    assert done.returncode == 0, done.stderr
    wanted = published(rows, instruct)
    assert scores(run) == pytest.approx(wanted, abs=TOLERANCE)
    assert by_chat != pytest.approx(wanted, abs=1e-2)
    named = cli(*common, *COMMANDS[command], "--template", "chat")  # one that is named is taken
    assert named.returncode == 0, named.stderr
    assert scores(run) != pytest.approx(wanted, abs=1e-2)


def scores(run: Path) -> list[Any]:
    """IFD of every record in the order of the input."""
    by_id = {row["id"]: row["ifd"] for row in pq.read_table(run / "score.parquet").to_pylist()}
    records = pq.read_table(run / "records.parquet", columns=["id", "row"]).to_pylist()
    return [by_id[row["id"]] for row in sorted(records, key=lambda row: int(row["row"]))]
