"""Small chat templates of the structures that published ones have, with {% generation %} tags, and tokenizers for them.

The tags stand where a model writes: from where the template's own generation prompt ends to the end-of-turn marker. So
transformers' assistant mask and the generation prompt are two references for what is learnt.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.helpers import tiny_models

SPECIAL = ("<|go|>", "<|say|>", "<|EOT|>", "<|over|>")
WORDS = [
    "Is 7 prime? Yes, it is. Add a and b. And 9? return a + b\n",
    "\n    return a + b\n<think>\n\n</think>\n\nQuestion: Answer: [Q] [/Q] user assistant final### END",
    "日本は7です。 é The",
] * 9

_EACH = "{% for m in messages %}{% if m.role == 'assistant' %}ANSWER{% else %}ASK{% endif %}{% endfor %}PROMPT"


def _template(ask: str, answer: str, prompt: str = "", before: str = "") -> str:
    """`answer` has its tags; `prompt` is written where generation is asked for."""
    asked = "{% if add_generation_prompt %}{{ '" + prompt + "' }}{% endif %}" if prompt else ""
    return before + _EACH.replace("ANSWER", answer).replace("ASK", ask).replace("PROMPT", asked)


def _written(text: str) -> str:
    return "{% generation %}{{ " + text + " }}{% endgeneration %}"


_TURN = "{{ '<|go|>' + m.role + '\\n' + m.content + '<|EOT|>\\n' }}"
_GO = "{{ '<|go|>assistant\\n' }}"

TEMPLATES = {
    "blank before the content": _template(
        "{{ bos_token + '[Q] ' + m.content + ' [/Q]' }}", _written("' ' + m.content + eos_token")
    ),
    "blanks around the content, stripped": _template(
        "{{ '[Q] ' + m.content | trim + ' [/Q]' }}", _written("' ' + m.content | trim + ' ' + eos_token")
    ),
    "words as headers": _template(
        "{{ 'Question: ' + m.content + '\\n' }}",
        "{{ 'Answer:' }}" + _written("' ' + m.content + eos_token") + "{{ '\\n' }}",
        "Answer:",
    ),
    "marker and newline": _template(_TURN, _GO + _written("m.content + '<|EOT|>'") + "{{ '\\n' }}", "<|go|>assistant\\n"),
    "marker behind a newline": _template(
        "{{ 'Question:\\n' + m.content + '\\n' }}",
        "{{ 'Answer:\\n' }}" + _written("m.content + '\\n<|EOT|>'") + "{{ '\\n' }}",
        "Answer:\\n",
    ),
    "marker of two tokens": _template(
        _TURN, _GO + _written("m.content + '<|over|><|EOT|>'") + "{{ '\\n' }}", "<|go|>assistant\\n",
        "{{ '<|go|>system\\nBe brief.<|EOT|>\\n' }}",
    ),
    "marker of words": _template(
        "{{ 'Question: ' + m.content + '\\n' }}",
        "{{ 'Answer: ' }}" + _written("m.content + '### END'") + "{{ '\\n' }}",
        "Answer: ",
    ),
    "think block in training only": _template(
        _TURN, _GO + _written("'<think>\\n\\n</think>\\n\\n' + m.content.lstrip('\\n') + '<|EOT|>'") + "{{ '\\n' }}", "<|go|>assistant\\n"
    ),
    "channels": _template(
        "{{ '<|go|>' + m.role + '<|say|>' + m.content + '<|over|>' }}",
        "{{ '<|go|>assistant' }}" + _written("'final<|say|>' + m.content + '<|EOT|>'"),
        "<|go|>assistant",
    ),
    "header written always": _template(
        "{{ '<|go|>' + m.role + '\\n' + m.content + '<|EOT|>' }}",
        _GO + _written("m.content + '<|EOT|>'"),
    )
    + _GO,
}  # fmt: skip


def byte_level() -> Any:
    """BPE over bytes; the special tokens are marked in the table of added tokens only."""
    raw = tiny_models.byte_level(WORDS, 400, ["<unk>", "<s>", "</s>", *SPECIAL])
    return _fast(raw)


def metaspace() -> Any:
    """BPE with a mark for each blank and one before the text, as SentencePiece models of Llama and Mistral have it."""
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.normalizer = normalizers.Replace(" ", "▁")
    strip = decoders.Strip(" ", 1, 0)
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    words = [word for text in WORDS for word in text.replace(" ", "\0 ").split("\0")]
    named = ["<unk>", "<s>", "</s>", *SPECIAL, *(f"<0x{n:02X}>" for n in range(256))]
    raw.train_from_iterator(words, trainers.BpeTrainer(vocab_size=600, special_tokens=named))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in ("<s>", "</s>", *SPECIAL)])
    return _fast(raw)


def _fast(raw: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


TOKENIZERS = {"byte level": byte_level, "metaspace": metaspace}
