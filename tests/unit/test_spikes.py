"""Surprise at operators and numbers: the places, the figure against one forward pass per record, and the penalty in ranking."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.lm.models import load_model, load_tokenizer
from codeact.records import Message, Record
from codeact.sample import Rules, choose
from codeact.score import score_ifd, to_table
from codeact.score.surprise import find_marks
from codeact.stages import score

FENCED = 'Add 1 or 2 items:\n\n```js\n// 3 of 4\nif (a[0] !== "5 < 6" && n <= 10) {\n  i++; s += x - 1; y = `7`;\n}\n```\nThat is 8 + 9.'
PLAIN = (
    "For 3 or more:\ndef f(n): return n-1 if n == 20 else 0.5  # 4 and 5\nwidth: 10px; color: #333; text-align: 'a-b';"
)
CODE = "def area(rows, n):\n    if n >= 12 and rows:\n        n = n + 345\n    return rows[0] == n - 1\n"


def texts(text: str) -> list[tuple[str, str]]:
    return [(text[p.start : p.end], p.kind) for p in find_marks(text)]


def test_places_are_operators_and_whole_numbers_of_code() -> None:
    assert texts(FENCED) == [
        *[("0", "number"), ("!==", "operator"), ("&&", "operator"), ("<=", "operator"), ("10", "number")],
        *[("++", "operator"), ("+=", "operator"), ("-", "operator"), ("1", "number")],
    ]
    assert texts(PLAIN) == [("-", "operator"), ("1", "number"), ("==", "operator"), ("20", "number")]
    assert texts("The answer is 42, and 7 or more.") == []
    assert texts("x = 'it is 5") == []
    assert texts("a -> b; f(x) => 3 /* 4\n5") == [("3", "number")]


@pytest.mark.parametrize("piece", ["/*", "<!--", '"""', "'''", "'\\", "`", "1+", "--", "```\n", "# ", "\n\n= "])
def test_long_odd_texts_have_no_places_and_end(piece: str) -> None:
    assert find_marks(piece * (200_000 // len(piece))) == []  # quadratic scanning would take minutes


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(str(tiny_model_dir))


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> Any:
    return load_model(str(tiny_model_dir), dtype="float32", device="cpu")


def record(number: int, *turns: str) -> Record:
    messages = [m for n, t in enumerate(turns) for m in (Message("user", f"Step {n}."), Message("assistant", t))]
    return Record(f"r{number}", tuple(messages))


def by_hand(model: Any, tokenizer: Any, text: str, wanted: list[tuple[str, str]], begin: int) -> dict[str, list[float]]:
    """-log p of each wanted substring, found from `begin` on in turn, by a plain forward pass over the whole text."""
    coded = tokenizer(text, return_offsets_mapping=True)
    ids = torch.tensor([coded["input_ids"]])
    with torch.no_grad():
        logs = model(ids, use_cache=False).logits[0].double().log_softmax(-1)
    found: dict[str, list[float]] = {"operator": [], "number": []}
    at = begin
    for what, kind in wanted:
        at = text.index(what, at)
        tokens = [i for i, (a, b) in enumerate(coded["offset_mapping"]) if a < at + len(what) and b > at]
        found[kind].append(-sum(float(logs[i - 1, ids[0, i]]) for i in tokens))
        at += len(what)
    return found


WANTED = [
    *[(">=", "operator"), ("12", "number"), ("and", "operator"), ("+", "operator"), ("345", "number"), ("0", "number")],
    *[("==", "operator"), ("-", "operator"), ("1", "number")],
]


def test_the_spike_is_the_largest_loss_of_a_place_less_the_logarithm_of_their_number(
    model: Any, tokenizer: Any
) -> None:
    assert texts(CODE) == WANTED
    one = record(0, CODE)
    other = record(1, "rows = [1, 2, 3]\n" * 9)
    from codeact.lm.prompts import load_template, render

    template = load_template("question", tokenizer)
    score = score_ifd([other, one, other], model, tokenizer, template=template)[1]
    text, ((begin, _),) = render(one.messages, template, tokenizer)
    sums = by_hand(model, tokenizer, text, WANTED, begin)
    highest = {kind: max(values) - math.log(len(values)) for kind, values in sums.items()}
    assert score.spike == pytest.approx(max(highest.values()), abs=1e-4)
    kind = max(highest, key=lambda k: highest[k])
    what = [w for w, k in WANTED if k == kind][int(np.argmax(sums[kind]))]
    assert score.spike_at.endswith(repr(what))
    line = int(score.spike_at.split(":")[0].removeprefix("line "))
    assert what in CODE.splitlines()[line - 1]


def test_every_turn_counts_and_what_is_cut_does_not(model: Any, tokenizer: Any) -> None:
    both = score_ifd([record(0, "x = y\n", CODE)], model, tokenizer)[0]
    assert both.spike is not None
    whole = score_ifd([record(0, CODE)], model, tokenizer)[0]
    spikes = set()
    for cut in range(1, whole.response_tokens):
        part = score_ifd([record(0, CODE)], model, tokenizer, max_length=whole.prompt_tokens + cut)[0]
        spikes.add(part.spike)
        if part.spike is not None:
            line = int(part.spike_at.split(":")[0].removeprefix("line "))
            kept = tokenizer(CODE, add_special_tokens=False)["input_ids"][: cut + 2]
            assert line <= tokenizer.decode(kept).count("\n") + 1
    assert None in spikes
    assert len(spikes) > 2


def test_without_places_or_scores_there_is_no_spike(model: Any, tokenizer: Any) -> None:
    found = score_ifd([record(0, "Nothing to count here."), record(1, ""), record(2, CODE)], model, tokenizer)
    assert [(s.spike is None, s.spike_at == "") for s in found] == [(True, True), (True, True), (False, False)]
    assert score_ifd([record(2, CODE)], model, tokenizer, variant="paper")[0].spike is None
    table = to_table(found)
    assert table["spike"].to_pylist() == [s.spike for s in found]
    assert table["spike_at"].to_pylist() == [s.spike_at for s in found]


def test_suspects_are_ranked_behind_all_others_of_their_cluster() -> None:
    rng = np.random.default_rng(0)
    ids = [f"{n:03d}" for n in range(60)]
    ifd, spike, cluster = rng.uniform(0.2, 0.99, 60), rng.normal(3, 2, 60), rng.integers(0, 3, 60)
    spike[:20] = np.nan
    found = choose(ids, strategy="cdas", ratio=0.4, ifd=ifd, cluster=cluster, spike=spike, rules=Rules(suspects=0.15))
    expected = sorted((n for n in range(60) if not np.isnan(spike[n])), key=lambda n: -spike[n])[:9]
    assert sorted(np.flatnonzero(found.selected | found.suspected).tolist()) == sorted(
        {*np.flatnonzero(found.selected).tolist(), *expected}
    )
    assert np.flatnonzero(found.suspected).tolist() == sorted(expected)
    assert int(found.selected.sum()) == 24
    for group in range(3):
        inside = [n for n in range(60) if cluster[n] == group]
        order = sorted(inside, key=lambda n: (n in expected, -ifd[n]))
        assert [found.rank[n] for n in order] == list(range(1, len(inside) + 1))
    assert {found.reason[n] for n in expected if not found.selected[n]} == {"suspect"}
    shuffled = rng.permutation(60)
    again = choose(
        [ids[n] for n in shuffled], strategy="cdas", ratio=0.4, ifd=ifd[shuffled], cluster=cluster[shuffled], spike=spike[shuffled],
        rules=Rules(suspects=0.15),
    )  # fmt: skip
    assert again.selected.tolist() == found.selected[shuffled].tolist()


def test_suspects_take_part_where_nothing_else_is_left() -> None:
    found = choose(["a", "b", "c"], strategy="cdas", ratio=1, ifd=[0.5, 0.6, 0.7], cluster=[0, 0, 0], spike=[9, 8, None], rules=Rules(suspects=0.7))
    assert found.suspected.tolist() == [True, True, False]
    assert found.selected.all()


@pytest.mark.parametrize(
    ("settings", "needle"),
    [
        ({"rules": Rules(suspects=1.0), "spike": [1, 2]}, "below 1"),
        ({"rules": Rules(suspects=0.5)}, "spike"),
        ({"rules": Rules(suspects=0.5), "spike": [1, 2], "strategy": "random"}, "does not rank"),
    ],
)
def test_suspects_that_cannot_be_are_refused(settings: dict[str, Any], needle: str) -> None:
    with pytest.raises(InputError, match=needle):
        choose(["a", "b"], **{"strategy": "cdas", "ratio": 0.4, "ifd": [0.5, 0.6], "cluster": [0, 0], **settings})


@pytest.mark.parametrize("override", ["score.variant=paper", "score.adaptive=true"])
@pytest.mark.parametrize("key", ["suspects=0.1", "min_gain=9"])
def test_recipes_that_suspects_and_gain_do_not_go_with_are_refused(key: str, override: str) -> None:
    with pytest.raises(InputError, match=key.partition("=")[0]):
        score.check(load_recipe(None, ["sample={strategy: cdas, unit: records}", f"sample.{key}", override]))


def test_records_of_too_little_gain_are_no_candidates() -> None:
    rng = np.random.default_rng(1)
    ids = [f"{n:03d}" for n in range(50)]
    ifd, gain, cluster = rng.uniform(0.3, 1.1, 50), rng.normal(30, 15, 50), rng.integers(0, 2, 50)
    gain[:3] = np.nan
    found = choose(ids, strategy="cdas", ratio=0.3, ifd=ifd, cluster=cluster, gain=gain, rules=Rules(min_gain=25))
    apart = choose(ids, strategy="cdas", ratio=0.3, ifd=np.where(gain >= 25, ifd, np.nan), cluster=cluster)
    assert found.selected.tolist() == apart.selected.tolist()
    assert found.rank.tolist() == apart.rank.tolist()
    for n in range(50):
        low, why = not gain[n] >= 25, found.reason[n]
        assert why == "ifd>=1" if ifd[n] >= 1 else why == "gain<25" if low else why in ("", "below cut")
    assert "gain<25" in found.reason


@pytest.mark.parametrize(
    ("settings", "needle"),
    [
        ({"rules": Rules(min_gain=-1)}, "at least 0"),
        ({"rules": Rules(min_gain=5)}, "needs 'gain'"),
        ({"rules": Rules(min_gain=5), "gain": [1, 9], "strategy": "longest", "response_tokens": [3, 4]}, "does not look at IFD"),
    ],
)
def test_gains_that_cannot_be_are_refused(settings: dict[str, Any], needle: str) -> None:
    with pytest.raises(InputError, match=needle):
        choose(["a", "b"], **{"strategy": "cdas", "ratio": 0.4, "ifd": [0.5, 0.6], "cluster": [0, 0], **settings})
