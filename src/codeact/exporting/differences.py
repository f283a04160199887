"""What a tool will do otherwise than codeact, one line each: settings that its configuration has no word for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from codeact.amounts import amount
from codeact.exporting.tools import Facts, whole_epochs
from codeact.records import Record

LEARN_KEY = {"axolotl": "train"}  # the field by which the tool leaves a turn unlearnt; the others have none
OWN_DROP = ("axolotl",)  # leaves too long records out itself
CUTS_WITHOUT_SPLIT = ("axolotl", "llama-factory", "torchtune")


def differences(to: str, facts: Facts, records: Sequence[Record], left_out: int = 0) -> list[str]:
    """The lines for the command and the card.

    Args:
        to: the tool.
        facts: what its configuration is made from.
        records: that are exported.
        left_out: records that were not, as too long.
    """
    return [] if to == "datasets" else [*_of_all(to, facts, records, left_out), *(_of_torchtune(facts) if to == "torchtune" else ())]


def _of_all(to: str, facts: Facts, records: Sequence[Record], left_out: int) -> Iterator[str]:
    train, pack, model = facts.recipe.train, facts.recipe.pack, facts.recipe.model
    if facts.marked and to not in LEARN_KEY:
        count = sum(any(not m.learn for m in record.messages) for record in records)
        yield f"{amount(count, 'record has', 'records have')} turns that are context only; {to} has no word for that and learns them too."
    if to == "llama-factory" and facts.template_name not in ("", "chat", "alpaca"):
        yield (
            f"LLaMA-Factory has no template like {facts.template_name!r}, under which the records were chosen; "
            "without `template` in sft.yaml it reads the tokenizer's own."
        )
    if train.token_share < 1:
        yield f"train.token_share={train.token_share:g} has no word in {to}: it learns all tokens of the answers."
    if train.loss != "token-mean":
        yield f"train.loss={train.loss} has no word in {to}: its loss is the mean over a step's tokens, so that long answers weigh more."
    if train.validation:
        yield f"train.validation={train.validation:g} is not written for {to}: it learns all records and holds none out."
    if to == "llama-factory" and model.dtype == "float32":
        yield "model.dtype=float32 has no word in LLaMA-Factory: without bf16 and fp16 it takes the dtype of the model's configuration."
    if left_out:
        yield (
            f"{amount(left_out, 'record')} longer than model.max_length={model.max_length} tokens left out of train.jsonl:"
            f" {to} has no word for pack.overlong=drop."
        )
    if pack.overlong == "split" and (to in CUTS_WITHOUT_SPLIT or pack.scope == "none"):
        yield f"pack.overlong=split has no word in {to}: it cuts records longer than model.max_length={model.max_length} tokens, and leaves out the rest."


def _of_torchtune(facts: Facts) -> Iterator[str]:
    train, pack, model = facts.recipe.train, facts.recipe.pack, facts.recipe.model
    yield "torchtune takes its prompt template from the model's tokenizer class, not from the records' template."
    if pack.overlong in ("drop", "error"):
        yield f"pack.overlong={pack.overlong} has no word in torchtune: it cuts records longer than model.max_length={model.max_length} tokens."
    if whole_epochs(facts) != train.epochs:
        yield f"torchtune trains whole epochs: {whole_epochs(facts)}, not train.epochs={train.epochs:g}."
    if train.scheduler != "cosine":
        yield f"train.scheduler={train.scheduler} has no word in torchtune, whose only schedule is the cosine."
    if train.method != "full":
        kind = "QLoRA" if train.method == "qlora" else "LoRA"
        yield f"train.method={train.method}: copy dataset.yaml into one of torchtune's {kind} configurations; the others do not take its keys under `model`."
    if facts.revision is not None:
        yield f"model.revision={facts.revision}: torchtune trains the files that its configuration names; download this revision of them."
    if model.dtype == "float16":
        yield "model.dtype=float16 has no word in torchtune, which trains in bf16 or fp32."
    if not facts.counted:
        yield (
            f"the records' tokens were not counted, so gradient_accumulation_steps={min(facts.rows_per_step, facts.rows)} counts records, and torchtune"
            " counts packed rows; lower it to what holds as many records, or select by tokens (--unit tokens), which counts them."
        )
