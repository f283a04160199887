"""Which tokens are learnt under published chat templates, beside transformers' own masks and generation prompts.

    python -m benchmarks.template_masks FOLDER [--tokenizer FOLDER] [--output FILE]

FOLDER holds templates as files `*.jinja` (none is shipped here). Each is given conversations of one and two answers, plain ones and
such that begin with a blank, an indentation or a line break, under a byte-level tokenizer made on the spot, which knows the
template's own special tokens, or under `--tokenizer`. Told per template:

    masks       of templates with {% generation %} tags: conversations whose learnt tokens are those of transformers'
                `return_assistant_tokens_mask`, blanks at an answer's end aside
    contexts    conversations whose answers all begin where the rendered generation prompt ends
    asked       conversations whose last answer stands after exactly the tokens that `evaluate` would ask with
    ends        conversations whose last answer ends in a special token
    refused     conversations that the template itself refuses

Result: benchmarks/results/template_masks*.json.xz
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.errors import InputError
from codeact.lm.prompts import RefusedError, Template, ask, encode, prompt_text, special_ids
from codeact.lm.prompts.templates import as_shown
from codeact.records import Message

ANSWERS = ("Yes, it is.", "Yes", "    return a + b", "\n    return a + b\n", "```python\nx = 1\n```", "日本は7です。")
SYSTEM = Message("system", "Be brief.")
TEXTS = ["Is 7 prime? Yes, it is.\n    return a + b\n```python\nx = 1\n```\n# Instruction Response user assistant"] * 9


def byte_level(specials: list[str]) -> Any:
    """A byte-level BPE tokenizer with these special tokens."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    named = ["<unk>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=named + specials, initial_alphabet=alphabet)
    raw.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def specials_of(source: str) -> list[str]:
    """What looks like a special token in a template's text."""
    bars = "|\uff5c"
    found = re.findall(
        rf"<[{bars}][^<>\s{{}}]+?>|<[^<>\s{{}}/]+?[{bars}]>|<(?:start|end)_of_turn>|\[\|[^\[\]]+\|\]|\[/?INST\]", source
    )
    return sorted(set(found))


def conversations() -> list[tuple[Message, ...]]:
    """One and two answers, without and with a system text."""
    talks: list[tuple[Message, ...]] = []
    for number, answer in enumerate(ANSWERS):
        one = (Message("user", "Is 7 prime?"), Message("assistant", answer))
        other = (Message("user", "And 9?"), Message("assistant", ANSWERS[number - 1]))
        talks += [one, (*one, *other), (SYSTEM, *one)]
    return talks


def check(source: str, tokenizer: Any) -> Counter[str]:
    """Counts over the conversations; see the top of this file."""
    template = Template("chat", source, adds_special=False)
    found: Counter[str] = Counter()
    for talk in conversations():
        found["conversations"] += 1
        try:
            coded = encode(talk, template, tokenizer, add_eos=True)
        except RefusedError as error:
            found["refused"] += 1
            found[f"refused: {str(error)[:110]}"] += 1
            continue
        last = coded.turns[-1]
        answered = [n for n, m in enumerate(talk) if m.role == "assistant"]
        text = tokenizer.decode(coded.input_ids)
        prompts = [prompt_text(talk[:n], template, tokenizer) for n in answered]
        found["contexts"] += all(
            text.startswith(p) and len(tokenizer.decode(coded.input_ids[: t.start])) <= len(p)
            and not text[len(tokenizer.decode(coded.input_ids[: t.start])) : len(p)].strip()
            for t, p in zip(coded.turns, prompts, strict=True)
        )  # fmt: skip
        asked = ask(talk[: answered[-1]], template, tokenizer)
        found["asked"] += list(asked.ids) == coded.input_ids[: last.start]
        found["ends"] += coded.input_ids[last.stop - 1] in special_ids(tokenizer)
        found["with notes"] += bool(coded.notes)
        if re.search(r"\{%-?\s*generation", source):
            found["masked"] += 1
            learnt = [i for turn in coded.turns for i in range(turn.start, turn.stop)]
            found["masks"] += unblanked(learnt, coded.input_ids, tokenizer) == mask(talk, source, tokenizer)
    return found


def mask(talk: tuple[Message, ...], source: str, tokenizer: Any) -> list[int]:
    """Tokens that transformers takes for the assistant's, without blanks at an answer's end."""
    turns = as_shown([{"role": m.role, "content": m.content} for m in talk], source, tokenizer)
    made = tokenizer.apply_chat_template(
        turns, chat_template=source, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return unblanked([i for i, on in enumerate(made["assistant_masks"]) if on], made["input_ids"], tokenizer)


def unblanked(chosen: list[int], ids: list[int], tokenizer: Any) -> list[int]:
    """The chosen tokens without the blank ones at the end of each run."""
    kept: list[int] = []
    for i in reversed(chosen):
        if i + 1 in kept or tokenizer.decode([ids[i]]).strip():
            kept.append(i)
    return kept[::-1]


def total(results: dict[str, dict[str, int]]) -> Counter[str]:
    """Sums over the templates, without the reasons of refusals."""
    found: Counter[str] = Counter(templates=len(results))
    for counts in results.values():
        found.update({name: count for name, count in counts.items() if ":" not in name})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.jinja"))
    if not files:
        raise SystemExit(f"{options.folder} holds no *.jinja file")
    results = {}
    for file in files:
        source = file.read_text(encoding="utf-8")
        given = AutoTokenizer.from_pretrained(str(options.tokenizer)) if options.tokenizer else None
        try:
            found = check(source, given or byte_level(specials_of(source)))
        except InputError as error:
            found = Counter({f"not a template: {str(error)[:110]}": 1})
        results[file.stem] = dict(found)
        print(file.stem, dict(found), flush=True)
    if options.output:
        result_files.write(options.output, {**provenance(), "total": dict(total(results)), "templates": results})


if __name__ == "__main__":
    main()
