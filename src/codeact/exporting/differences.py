"""What a tool will do otherwise than codeact, one line each: settings that its configuration has no word for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from codeact.amounts import amount
from codeact.exporting.tools import Facts, whole_epochs
from codeact.records import Record


def differences(to: str, facts: Facts, records: Sequence[Record]) -> list[str]:
    """The lines for the command and the card.

    Args:
        to: the tool.
        facts: what its configuration is made from.
        records: that are exported.
    """
    return [] if to == "datasets" else [*_of_all(to, facts), *(_of_torchtune(facts, records) if to == "torchtune" else ())]


def _of_all(to: str, facts: Facts) -> Iterator[str]:
    train, model = facts.recipe.train, facts.recipe.model
    if to == "llama-factory" and facts.template_name not in ("chat", "alpaca"):
        yield (
            f"LLaMA-Factory has no template like {facts.template_name!r}, with which the tokens were made: it trains on them, but its own commands"
            " for chat and inference ask the trained model in another way."
        )
    if train.token_share < 1:
        yield f"train.token_share={train.token_share:g} has no word in {to}: it learns all tokens of the answers."
    if train.loss != "token-mean":
        yield f"train.loss={train.loss} has no word in {to}: its loss is the mean over a step's tokens, so that long answers weigh more."
    if train.validation:
        yield f"train.validation={train.validation:g} is not written for {to}: it learns all records and holds none out."
    if to == "llama-factory" and model.dtype == "float32":
        yield "model.dtype=float32 has no word in LLaMA-Factory: without bf16 and fp16 it takes the dtype of the model's configuration."


def _of_torchtune(facts: Facts, records: Sequence[Record]) -> Iterator[str]:
    train, pack, model = facts.recipe.train, facts.recipe.pack, facts.recipe.model
    if count := sum(any(not m.learn for m in record.messages) for record in records):
        yield f"{amount(count, 'record has', 'records have')} turns that are context only; torchtune has no word for that and learns them too."
    if count := sum(bool(record.tools) or any(m.tool_calls or m.reasoning for m in record.messages) for record in records):
        yield f"{amount(count, 'record has', 'records have')} tools, tool calls or thoughts; torchtune reads the roles and contents of turns alone."
    yield "torchtune takes its prompt template from the model's tokenizer class, not from the records' template."
    if pack.overlong != "truncate":
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
