"""Scores and answers of every causal architecture of transformers, as the product computes them and one text at a time.

    python -m benchmarks.architectures
    python -m benchmarks.architectures mamba qwen3_5_text

For each architecture of which a tiny random model can be made (benchmarks/pack_leaks.py, with larger weights so that answers differ): how
its texts share a pass (`codeact.lm.streams.check_model`); the largest relative difference between the losses of four records and those of
transformers' own model, one text a pass, in float32; and how many of four answers of ten tokens, three side by side, differ from
transformers' greedy search on one prompt. Where the product refuses, its reason.

Result: benchmarks/results/architectures.json.xz
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from benchmarks import pack_leaks, result_files
from benchmarks.machine import provenance
from codeact.errors import CodeactError
from codeact.evaluation.generate import Prompt, generate
from codeact.lm import models
from codeact.lm.streams import check_model
from codeact.records import Message, Record
from codeact.score.ifd import Scorer

RESULT = Path(__file__).parent / "results" / "architectures.json.xz"
SIZES = {"vocab_size": 300, "eos_token_id": 0, "bos_token_id": 0, "rotary_dim": 4}
PAIRS = (("Write a function.", "def f(x):\n    return x"), ("Add one to x", "x+1"), ("Sum", "def g(a, b): return a+b # of two"), ("q", "return 1"))
ASKED = ("def f(x):", "Write a function that", "x", "return x + 1 def")
NEW_TOKENS, SIDE_BY_SIDE = 10, 3


def tokenizer() -> Any:
    """Byte-level, 300 tokens."""
    from tests.helpers.tiny_models import byte_level, ended

    return ended(byte_level(["def f(x):\n    return x + y\n", "Write a function that adds one to x."], SIZES["vocab_size"], ["<end>"]))


def make(kind: type[Any]) -> tuple[Any, str]:
    """A tiny model of a configuration's class and the attention it was made with; raises what the architecture raises."""
    heads = {"num_key_value_heads": 4} if "kv_lora_rank" in kind().to_dict() else {}
    pack_leaks.SMALL.update({**SIZES, "num_key_value_heads": 2, **heads})
    try:
        model, attention = pack_leaks.tiny(kind, "eager"), "eager"
    except ValueError:
        model, attention = pack_leaks.tiny(kind, "sdpa"), "sdpa"
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() >= 2:
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.15)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 0
    return model, attention


def difference(model: Any, own: Any, coder: Any) -> float:
    """Largest relative difference of a mean loss from that of one text a pass."""
    scorer = Scorer(model, coder, max_length=90)
    records = [Record(str(n), (Message("user", q), Message("assistant", a)), {"row": n}) for n, (q, a) in enumerate(PAIRS)]
    worst = 0.0
    for prepared, score in zip(scorer.prepare(records), scorer.score(records), strict=True):
        for streams, found in ((prepared.conditional, score.nll_cond), (prepared.unconditional, score.nll_uncond)):
            losses: list[float] = []
            for stream in streams:
                with torch.no_grad():
                    logits = own(input_ids=torch.tensor([stream.ids]), use_cache=False).logits[0].log_softmax(-1)
                losses += [-logits[at - 1, stream.ids[at]].item() for span in stream.spans for at in range(span.start, span.end)]
            wanted = float(np.mean(losses))
            worst = max(worst, abs(wanted - (found or np.inf)) / max(1.0, wanted))
    return worst


def unlike(model: Any, own: Any, coder: Any) -> int:
    """How many answers differ from transformers' greedy search on one prompt."""
    from tests.helpers.tiny_models import greedy_alone

    prompts = [Prompt(tuple(coder(text)["input_ids"])) for text in ASKED]
    own.generation_config.update(num_beams=1, forced_eos_token_id=None, forced_bos_token_id=None, no_repeat_ngram_size=0)
    wanted = [coder.decode([t for t in greedy_alone(own, prompt.ids, NEW_TOKENS, 0) if t]) for prompt in prompts]
    found = dict(one for some in generate(model, coder, prompts, max_new_tokens=NEW_TOKENS, batch_size=SIDE_BY_SIDE) for one in some)
    return sum(found[n].text != text for n, text in enumerate(wanted))


def one(kind: type[Any], coder: Any) -> dict[str, Any]:
    """What is found for an architecture."""
    try:
        made, attention = make(kind)
        with tempfile.TemporaryDirectory() as folder:
            made.save_pretrained(folder)
            coder.save_pretrained(folder)
            own = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()
            model = models.load_model(folder, dtype="float32", device="cpu", attention="any")
    except Exception as error:  # noqa: BLE001  (whatever a configuration's own checks raise)
        return {"layout": "not made", "reason": _said(error)}
    found: dict[str, Any] = {}
    try:
        found |= {"layout": check_model(model), "difference": difference(model, own, coder)}
    except CodeactError as error:
        found |= {"layout": "refused", "reason": _said(error)}
    except Exception as error:  # noqa: BLE001  (a fault of ours, to be seen in the result)
        found |= {"layout": "crashed", "reason": _said(error)}
    try:
        found["unlike_answers"] = unlike(model, own, coder)
    except Exception as error:  # noqa: BLE001  (transformers' own search fails on some tiny models)
        found["answers"] = _said(error)
    return found


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:100]


def measure(names: Sequence[str]) -> dict[str, Any]:
    """Of every architecture, or of those named."""
    coder, found = tokenizer(), {}
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING:
        name = kind.model_type
        if not names or name in names:
            found[name] = one(kind, coder)
            print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these architectures; nothing is written")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    told = provenance()
    logging.getLogger("transformers").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    found = measure(options.names)
    summary = {
        "layouts": dict(Counter(row["layout"] for row in found.values())),
        "largest_difference": max((row["difference"] for row in found.values() if "difference" in row), default=None),
        "answered": sum("unlike_answers" in row for row in found.values()),
        "architectures_with_unlike_answers": [name for name, row in found.items() if row.get("unlike_answers")],
        "search_failed": [name for name, row in found.items() if "answers" in row],
    }
    print(summary)
    if not options.names:
        result_files.write(options.output, {**told, **summary, "architectures": found})


if __name__ == "__main__":
    main()
