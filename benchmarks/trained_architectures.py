"""Training of every causal architecture of transformers, as the product does it and one text at a time.

    python -m benchmarks.trained_architectures
    python -m benchmarks.trained_architectures gpt2 mixtral

For each architecture of which a tiny random model can be made (benchmarks/architectures.py; dropout off), one optimizer step of
`codeact.training.sft.fine_tune` over six records in float32: packed, padded, padded with gradient checkpointing, LoRA. Said are the
largest relative differences of the loss and of any parameter's gradient from those of transformers' own model, one text a pass; whether
the written model has the weights, configuration and logits that it should; which share of the weights between embeddings and head LoRA
adapts; or why the product refuses.

Result: benchmarks/results/trained_architectures.json.xz
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from benchmarks import architectures, result_files
from benchmarks.machine import provenance
from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import CodeactError
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.records import Message, Record
from codeact.training import trainer
from codeact.training.data import tokenise_records
from codeact.training.sft import fine_tune

RESULT = Path(__file__).parent / "results" / "trained_architectures.json.xz"
LENGTH = 64
PAIRS = (*architectures.PAIRS, ("Write it", "def f(x):\n    return x + y\n" * 3), ("z", "x"))
WAYS: dict[str, dict[str, Any]] = {
    "packed": {"scope": "batch"}, "padded": {"scope": "none"}, "checkpointed": {"scope": "none", "gradient_checkpointing": True},
    "lora": {"scope": "none", "method": "lora"},
}  # fmt: skip
RATE = 1e-12  # the written model is the base's; LoRA learns
NO_DROPOUT = ("dropout", "drop_rate", "pdrop", "layerdrop", "jitter", "dropout_prob", "dropout_rate", "attention_dropout")


def records() -> list[Record]:
    return [Record(str(n), (Message("user", q), Message("assistant", a))) for n, (q, a) in enumerate(PAIRS)]


def undropped(config: Any) -> None:
    """Switch off what makes a training step random."""
    for one in {id(c): c for c in (config, config.get_text_config())}.values():
        for name, value in list(vars(one).items()):
            if isinstance(value, float) and any(part in name for part in NO_DROPOUT):
                setattr(one, name, 0.0)


@contextmanager
def stepped() -> Iterator[list[tuple[Any, dict[str, torch.Tensor]]]]:
    """Of every training inside: the model, and the gradients of its first optimizer step by name."""
    found: list[tuple[Any, dict[str, torch.Tensor]]] = []
    fit = trainer.fit

    def watched(model: Any, *inputs: Any, **named: Any) -> Any:
        def keep(_: Any, __: Any, ___: Any) -> None:
            found.append((model, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}))

        hook = register_optimizer_step_pre_hook(keep)
        try:
            return fit(model, *inputs, **named)
        finally:
            hook.remove()

    trainer.fit = watched
    try:
        yield found
    finally:
        trainer.fit = fit


def train(folder: str, out: Path, scope: str, **changes: Any) -> dict[str, Any]:
    model = ModelConfig(name=folder, max_length=LENGTH, template="question", device="cpu", dtype="float32")
    settings = {"epochs": 1, "batch_size": len(PAIRS), "learning_rate": RATE, "warmup_steps": 0, "max_grad_norm": 1e9} | changes
    return fine_tune(records(), out, model=model, train=TrainConfig(**settings), pack=PackConfig(scope=scope), seed=0)


def alone(own: Any, folder: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the mean over all learnt tokens, one text a pass."""
    tokenizer = load_tokenizer(folder)
    samples = tokenise_records(records(), load_template("question", tokenizer), tokenizer, LENGTH).samples
    learnt = sum(int((sample["labels"] != -100).sum()) for sample in samples)
    own.train()
    own.zero_grad()
    loss = 0.0
    for sample in samples:
        ids, labels = (torch.tensor(sample[key], dtype=torch.int64)[None] for key in ("input_ids", "labels"))
        logits = own(input_ids=ids, use_cache=False).logits[0, :-1]
        part = torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum") / learnt
        part.backward()
        loss += float(part.detach())
    return loss, {name: p.grad for name, p in own.named_parameters() if p.grad is not None}


def apart(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> tuple[float, str]:
    """Largest difference of a gradient, relative to its norm (at least a thousandth of the largest one), and where."""
    least = 1e-3 * max(float(gradient.norm()) for gradient in wanted.values())
    worst, where = 0.0, ""
    for name in {**found, **wanted}:
        gradient = wanted.get(name, torch.zeros(()))
        gap = float((found.get(name, torch.zeros(())) - gradient).norm()) / max(float(gradient.norm()), least)
        if not gap <= worst:
            worst, where = gap, name
    return worst, where


def written(out: Path, base: Any, attention: str, ids: torch.Tensor) -> dict[str, Any]:
    """What of a written model is not as it was: weights, logits, configuration, generation settings."""
    own, told = AutoModelForCausalLM.from_pretrained(out / "model", dtype=torch.float32, attn_implementation=attention, output_loading_info=True)
    own.eval()
    with torch.no_grad():
        logits, wanted = (model(input_ids=ids, use_cache=False).logits for model in (own, base.eval()))
    if hasattr(base, "merge_and_unload"):
        return {"logits": float((logits - wanted).abs().max() / wanted.abs().max())}
    before, after = base.state_dict(), own.state_dict()
    other = sorted(before.keys() ^ after.keys()) or [n for n, w in before.items() if not torch.allclose(w, after[n], rtol=1e-5, atol=1e-9)]
    plain, saved = base.config.to_dict(), own.config.to_dict()
    keys = sorted(key for key in {**plain, **saved} if plain.get(key) != saved.get(key) and key not in ("use_cache", "_name_or_path"))
    found: dict[str, Any] = {"logits": float((logits - wanted).abs().max() / wanted.abs().max())}
    found |= {"weights": other[:3]} if other else {}
    found |= {"configuration": keys} if keys else {}
    found |= {key: sorted(told[key])[:3] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if told[key]}
    return found


def adapted(model: Any) -> dict[str, Any]:
    """Which weights between embeddings and head LoRA leaves out, by the ends of their names and as a share."""
    causal = model.get_base_model()
    layers = [module for module in causal.modules() if hasattr(module, "lora_A")]
    learnt = {id(getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))) for layer in layers}
    ends = {id(p) for m in (causal.get_input_embeddings(), causal.get_output_embeddings()) if m is not None for p in m.parameters()}
    kinds: dict[str, int] = {}
    total = held = 0
    for name, parameter in causal.named_parameters():
        if "lora_" in name or id(parameter) in ends or parameter.dim() < 2:
            continue
        total += parameter.numel()
        if id(parameter) in learnt:
            held += parameter.numel()
        else:
            kinds[".".join(name.split(".")[-3:])] = kinds.get(".".join(name.split(".")[-3:]), 0) + parameter.numel()
    return {"adapted": round(held / total, 3) if total else None, "left_out": sorted(kinds)}


def one(kind: type[Any], coder: Any, ways: Sequence[str] = tuple(WAYS)) -> dict[str, Any]:
    """What is found for an architecture."""
    with tempfile.TemporaryDirectory() as place:
        folder = str(Path(place, "base"))
        try:
            made, attention = architectures.make(kind)
            undropped(made.config)
            made.save_pretrained(folder)
            coder.save_pretrained(folder)
            own = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
            loss, gradients = alone(own, folder)
        except Exception as error:  # noqa: BLE001  (whatever a configuration's own checks raise)
            return {"not made": architectures._said(error)}
        ids = torch.arange(1, 14)[None]
        return {way: _way(way, folder, Path(place, way), (own, attention, ids), loss, gradients) for way in ways}


def _way(way: str, folder: str, out: Path, base: tuple[Any, str, torch.Tensor], loss: float, gradients: dict[str, torch.Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        with stepped() as steps:
            summary = train(folder, out, **WAYS[way], **({"learning_rate": 1e-2} if way == "lora" else {}))
        model, given = steps[0]
        found |= {"loss": abs(summary["first_loss"] - loss) / loss, "chunked": summary["chunked_loss"]}
        if way == "lora":
            count = sum(float(g.norm()) > 0 for name, g in given.items() if "lora_B" in name)
            found |= written(out, model, *base[1:])
            return found | {"learning": count, "of": sum("lora_B" in n for n, _ in model.named_parameters()), **adapted(model)}
        found["gradient"], where = apart(given, gradients)
        found |= {"at": where} if found["gradient"] > 1e-5 else {}
        if way == "padded":
            found |= written(out, base[0], *base[1:])
    except CodeactError as error:
        found |= {"refused": " ".join(str(error).split())[:400]}
    except Exception as error:  # noqa: BLE001  (a fault of ours, to be seen in the result)
        found |= {"crashed": architectures._said(error)}
    return found


def measure(names: Sequence[str], ways: Sequence[str]) -> dict[str, Any]:
    """Of every architecture, or of those named."""
    coder, found = architectures.tokenizer(), {}
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING:
        name = kind.model_type
        if name not in found and (not names or name in names):
            found[name] = one(kind, coder, ways)
            print(json.dumps({name: found[name]}), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these architectures; nothing is written")
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    told = provenance()
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.CRITICAL)
    logging.getLogger("codeact").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    found = measure(options.names, options.ways)
    print(summary(found))
    if not options.names:
        result_files.write(options.output, {**told, **summary(found), "architectures": found})


def summary(found: dict[str, Any]) -> dict[str, Any]:
    made = {name: row for name, row in found.items() if "not made" not in row}
    return {
        way: {
            "trained": sum("loss" in row[way] for row in made.values()),
            "outcomes": dict(Counter(next((k for k in ("refused", "crashed") if k in row[way]), "trained") for row in made.values())),
            "largest_loss_difference": max((row[way]["loss"] for row in made.values() if "loss" in row[way]), default=None),
            "largest_gradient_difference": max((row[way]["gradient"] for row in made.values() if "gradient" in row[way]), default=None),
        }
        for way in dict.fromkeys(way for row in made.values() for way in row)
    }


if __name__ == "__main__":
    main()
