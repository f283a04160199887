"""The scorer's behaviour: failures are statuses, progress and table are complete, unsafe models are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from codeact.errors import CodeactError
from codeact.lm.isolation import LeakError
from codeact.lm.models import load_model, load_tokenizer
from codeact.records import Message, Record
from codeact.score import Scorer, score_ifd, to_table
from codeact.score.ifd import WINDOW_RECORDS

VERBS = ("add", "sort", "count", "merge", "parse")


def record(number: int, answer: str | None = None) -> Record:
    verb = VERBS[number % len(VERBS)]
    text = f"def {verb}_{number}(rows):\n" + "    rows = rows[1:]\n" * (1 + number % 7) if answer is None else answer
    return Record(f"r{number}", (Message("user", f"Write {verb}, version {number}."), Message("assistant", text)))


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(str(tiny_model_dir))


@pytest.fixture
def model(tiny_model_dir: Path) -> Any:
    return load_model(str(tiny_model_dir), dtype="float32", device="cpu")


class Counter:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.records, self.notes = 0.0, [""]

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.records += amount
        self.notes.append(note)


def test_parts_in_eval_mode_stay_so(model: Any, tokenizer: Any) -> None:
    model.train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    score_ifd([record(0)], model, tokenizer)
    assert [module.training for module in model.modules()] == before


def test_every_record_is_scored_in_order_across_windows(model: Any, tokenizer: Any) -> None:
    records = [record(n) for n in range(WINDOW_RECORDS + 5)]
    seen = Counter()
    scores = Scorer(model, tokenizer, batch_tokens=4096).score(records, seen)
    assert [s.id for s in scores] == [r.id for r in records]
    assert {s.status for s in scores} == {"ok"}
    assert seen.records == len(records)
    assert seen.notes[-1].endswith("tokens/s")
    tail = score_ifd(records[-3:], model, tokenizer)
    assert [s.ifd for s in scores[-3:]] == pytest.approx([s.ifd for s in tail], abs=1e-5)


def test_ifd_is_the_ratio_of_the_two_perplexities(model: Any, tokenizer: Any) -> None:
    for score in score_ifd([record(n) for n in range(5)], model, tokenizer):
        assert score.ifd is not None
        assert score.nll_cond is not None
        assert score.nll_uncond is not None
        assert score.ifd == pytest.approx(math.exp(score.nll_cond) / math.exp(score.nll_uncond))


def test_failures_are_statuses_and_never_numbers(model: Any, tokenizer: Any) -> None:
    weights = model.get_input_embeddings().weight
    with torch.no_grad():
        weights[tokenizer.convert_tokens_to_ids("~")] = math.nan
        model.get_output_embeddings().weight = torch.nn.Parameter(torch.nan_to_num(weights.clone()))
    records = [record(0), record(1, ""), record(2, "rows ~ rows ~"), record(3, "rows[1:]" * 40)]
    long_prompt = Record("r4", (Message("user", "Write it. " * 200), Message("assistant", "rows")))
    found = score_ifd([*records, long_prompt], model, tokenizer, max_length=64)
    assert [s.status for s in found] == ["ok", "empty", "nonfinite", "truncated", "too_long"]
    assert [s.ifd is None for s in found] == [False, True, True, False, True]
    assert all((s.nll_cond is None) == (s.nll_uncond is None) == (s.ifd is None) for s in found)
    assert found[2].turns[0].status == "nonfinite"
    assert found[2].response_tokens > 0
    table = to_table(found)
    assert table["ifd"].null_count == 3


def test_the_table_has_the_contract_columns_and_the_turns(model: Any, tokenizer: Any) -> None:
    talk = Record("talk", (*record(1).messages, Message("user", "Again"), Message("assistant", "rows")))
    table = to_table(score_ifd([record(0), talk], model, tokenizer))
    kinds = {name: str(kind) for name, kind in zip(table.column_names, table.schema.types, strict=True)}
    assert list(kinds)[:7] == ["id", "ifd", "nll_cond", "nll_uncond", "response_tokens", "prompt_tokens", "status"]
    assert [kinds[k] for k in ("id", "ifd", "nll_cond", "response_tokens", "status")] == [
        "string",
        "double",
        "double",
        "int32",
        "string",
    ]
    rows = table.to_pylist()
    assert [len(row["turns"]) for row in rows] == [1, 2]
    assert rows[0]["turns"][0]["ifd"] == rows[0]["ifd"]
    assert rows[1]["response_tokens"] == sum(t["response_tokens"] for t in rows[1]["turns"])
    assert to_table([]).schema == table.schema


def test_prefixes_are_the_log_ifd_of_the_first_tokens(model: Any, tokenizer: Any) -> None:
    one = record(6)
    score = score_ifd([one], model, tokenizer)[0]
    assert len(score.prefix_log_ifd) == int(math.log2(score.response_tokens)) + 1
    for level, value in enumerate(score.prefix_log_ifd):
        cut = score_ifd([one], model, tokenizer, max_length=score.prompt_tokens + 2**level)[0]
        assert cut.ifd is not None
        assert value == pytest.approx(math.log(cut.ifd), abs=1e-5)
    assert score_ifd([one], model, tokenizer, variant="paper")[0].prefix_log_ifd == ()


def test_the_context_length_is_the_limit(model: Any, tokenizer: Any) -> None:
    assert Scorer(model, tokenizer, max_length=100_000).max_length == model.config.max_position_embeddings
    long = record(0, "rows = rows[1:]\n" * 400)
    score = score_ifd([long], model, tokenizer, max_length=100_000)[0]
    assert score.status == "truncated"
    assert score.prompt_tokens + score.response_tokens == model.config.max_position_embeddings


def test_the_model_is_left_as_it_was(model: Any, tokenizer: Any) -> None:
    model.train()
    first = score_ifd([record(1)], model, tokenizer)[0]
    assert model.training
    assert first.ifd == score_ifd([record(1)], model.eval(), tokenizer)[0].ifd


def test_no_records_give_no_scores(model: Any, tokenizer: Any) -> None:
    assert score_ifd([], model, tokenizer) == []


def test_a_head_that_does_more_is_refused(model: Any, tokenizer: Any) -> None:
    def forward(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        out.logits = out.logits * 2
        return out

    original, model.forward = model.forward, forward
    with pytest.raises(CodeactError, match="does more to its logits"):
        score_ifd([record(0)], model, tokenizer)


def test_a_model_whose_packed_samples_see_each_other_is_refused(tiny_model_dir: Path, tokenizer: Any) -> None:
    from transformers import AttentionInterface, AutoModelForCausalLM
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # an attention function without its mask function: transformers then makes no mask at all
    AttentionInterface.register("leaky", sdpa_attention_forward)
    leaky = AutoModelForCausalLM.from_pretrained(tiny_model_dir, attn_implementation="leaky")
    with pytest.raises(LeakError):
        score_ifd([record(0)], leaky, tokenizer)


def test_a_lora_adapter_is_scored_with_its_adapter(model: Any, tokenizer: Any) -> None:
    peft = pytest.importorskip("peft")
    before = score_ifd([record(2)], model, tokenizer)[0]
    torch.manual_seed(0)
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, config)
    after = score_ifd([record(2)], adapted, tokenizer)[0]
    adapted.base_model.merge_adapter()
    merged = score_ifd([record(2)], adapted.get_base_model(), tokenizer)[0]
    assert after.ifd == pytest.approx(merged.ifd, abs=1e-4)
    assert abs((after.ifd or 0.0) - (before.ifd or 0.0)) > 1e-3
