"""Training samples: which tokens are learnt, and what becomes of records that are too long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transformers import (
    PreTrainedTokenizerFast,
)

from codeact.errors import InputError
from codeact.lm.prompts import Template, load_template
from codeact.records import Message, Record
from codeact.training.data import tokenise_records
from tests.helpers.tiny_models import byte_level

CHAT = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def record(*texts: str, identity: str = "r") -> Record:
    """Turns of user and assistant in alternation."""
    return Record(identity, tuple(Message("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = ["Question:\nAdd a and b.\n\nAnswer:\nreturn a + b\n"] * 9
    raw = byte_level(texts, 320, ["<|pad|>", "<|end|>", "<|start|>"])
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|end|>", pad_token="<|pad|>", extra_special_tokens=["<|start|>"]
    )
    made.chat_template = CHAT
    return made


@pytest.fixture(params=["question", "chat"])
def template(request: pytest.FixtureRequest, tokenizer: Any) -> Template:
    return load_template(request.param, tokenizer)


def learnt(sample: Any, tokenizer: Any) -> str:
    return str(tokenizer.decode(sample["labels"][sample["labels"] != -100]))


class TestTokenise:
    def test_learns_answers_and_their_ends_of_all_turns(self, tokenizer: Any, template: Template) -> None:
        turns = record("Add a and b.", "return a + b", "And now c?", "return a + b + c")
        (sample,) = tokenise_records([turns], template, tokenizer, 512).samples
        assert learnt(sample, tokenizer) == "return a + b<|end|>return a + b + c<|end|>"
        kept = sample["labels"] != -100
        assert (sample["labels"][kept] == sample["input_ids"][kept]).all()
        assert sample["input_ids"][-1] == tokenizer.eos_token_id
        assert sample["id"] == "r"

    def test_learns_everything_but_the_first_token_with_the_prompt(self, tokenizer: Any, template: Template) -> None:
        (sample,) = tokenise_records([record("Add.", "a + b")], template, tokenizer, 512, train_on_prompt=True).samples
        assert sample["labels"][0] == -100
        assert (sample["labels"][1:] == sample["input_ids"][1:]).all()

    def test_truncation_keeps_the_end_marker(self, tokenizer: Any, template: Template) -> None:
        whole = tokenise_records([record("Add.", "abc " * 50)], template, tokenizer, 512).samples[0]
        made = tokenise_records([record("Add.", "abc " * 50), record("Add.", "a")], template, tokenizer, 40)
        cut = made.samples[0]
        assert (made.truncated, made.dropped, made.split) == (1, 0, 0)
        assert len(cut["input_ids"]) == 40
        assert (cut["input_ids"][:-1] == whole["input_ids"][:39]).all()
        assert cut["input_ids"][-1] == cut["labels"][-1] == tokenizer.eos_token_id

    def test_a_prompt_that_fills_the_length_is_dropped_and_counted(self, tokenizer: Any, template: Template) -> None:
        made = tokenise_records([record("abc " * 50, "a"), record("Add.", "a")], template, tokenizer, 40)
        assert (made.truncated, made.dropped, len(made.samples)) == (0, 1, 1)

    def test_split_loses_no_token(self, tokenizer: Any, template: Template) -> None:
        whole = tokenise_records([record("Add.", "abc " * 50)], template, tokenizer, 512).samples[0]
        made = tokenise_records([record("Add.", "abc " * 50)], template, tokenizer, 40, overlong="split")
        assert made.split == 1
        assert (np.concatenate([s["input_ids"] for s in made.samples]) == whole["input_ids"]).all()
        assert all(len(s["input_ids"]) <= 40 and s["labels"][0] == -100 and s["id"] == "r" for s in made.samples)
        # each further piece starts afresh, so that its first token is not learnt
        assert (
            sum((s["labels"] != -100).sum() for s in made.samples)
            == (whole["labels"] != -100).sum() - len(made.samples) + 1
        )

    def test_drop_and_error(self, tokenizer: Any, template: Template) -> None:
        data = [record("Add.", "abc " * 50, identity="long"), record("Add.", "a")]
        made = tokenise_records(data, template, tokenizer, 40, overlong="drop")
        assert (made.dropped, [s["id"] for s in made.samples]) == (1, ["r"])
        with pytest.raises(InputError, match=r"'long' has \d+ tokens, more than model.max_length = 40"):
            tokenise_records(data, template, tokenizer, 40, overlong="error")
        with pytest.raises(InputError, match="the only record is longer"):
            tokenise_records(data[:1], template, tokenizer, 40, overlong="drop")

    def test_refuses_nothing_to_learn(self, tokenizer: Any, template: Template) -> None:
        with pytest.raises(InputError, match="the data set is empty"):
            tokenise_records([], template, tokenizer, 40)
        with pytest.raises(InputError, match="record 'r' has no assistant tokens"):
            tokenise_records([record("Add.", "")], template, tokenizer, 40)

    def test_refuses_a_tokenizer_that_cannot_end(self, tokenizer: Any) -> None:
        endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
        open_ended = Template("open", "{% for m in messages %}{{ m.content }}\n{% endfor %}", adds_special=True)
        with pytest.raises(InputError, match="no EOS token"):
            tokenise_records([record("Add.", "a")], open_ended, endless, 40)
