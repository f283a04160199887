"""Attention by blocks of queries against the formula in float64, and against PyTorch's own kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from codeact.lm import attention, blocked_attention
from codeact.lm.blocked_attention import BLOCK, attend, serves
from codeact.lm.devices import cpu_flags


def drawn(tokens: int, heads: int, size: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    """bfloat16 [tokens, heads, size], laid out as a model's projections leave it."""
    made = torch.randn(heads, tokens, size, generator=torch.Generator().manual_seed(seed)) * spread
    return made.bfloat16().transpose(0, 1)


def by_formula(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sizes: tuple[list[int], list[int]], scale: float
) -> torch.Tensor:
    """float64 [tokens, heads, value size], one query and head at a time."""
    out = torch.zeros(len(query), query.shape[1], value.shape[-1], dtype=torch.float64)
    at, key_at = 0, 0
    for count, key_count in zip(*sizes, strict=True):
        for place, head in np.ndindex(count, query.shape[1]):
            own = head * key.shape[1] // query.shape[1]
            seen = slice(key_at, key_at + key_count - count + place + 1)
            scores = key[seen, own].double() @ query[at + place, head].double() * scale
            out[at + place, head] = scores.softmax(0) @ value[seen, own].double()
        at, key_at = at + count, key_at + key_count
    return out


SIZES = {
    "one segment": ([7], [7]),
    "single tokens": ([1, 1, 3], [1, 1, 3]),
    "about a block": ([BLOCK - 1, BLOCK, BLOCK + 1], [BLOCK - 1, BLOCK, BLOCK + 1]),
    "several blocks": ([2 * BLOCK + 5, 2], [2 * BLOCK + 5, 2]),
    "they go on": ([1, BLOCK + 2, 4], [30, BLOCK + 40, 4]),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("heads", "groups", "size", "value_size", "scale"), [(6, 2, 16, 16, 0.25), (3, 3, 8, 24, 0.3), (4, 1, 12, 8, 1.0)]
)
def test_it_is_the_formula(
    sizes: tuple[list[int], list[int]], heads: int, groups: int, size: int, value_size: int, scale: float
) -> None:
    query = drawn(sum(sizes[0]), heads, size, 1)
    key, value = drawn(sum(sizes[1]), groups, size, 2), drawn(sum(sizes[1]), groups, value_size, 3)
    with torch.inference_mode():
        found = attend(query, key, value, sizes, scale)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), by_formula(query, key, value, sizes, scale), atol=2e-2, rtol=2e-2)


def test_long_segments_take_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_attention, "LARGEST_SCORES", 1)
    query, key, value = drawn(70, 4, 8, 1), drawn(70, 2, 8, 2), drawn(70, 2, 8, 3)
    with torch.inference_mode():
        found = attend(query, key, value, ([50, 20], [50, 20]), 0.3)
    torch.testing.assert_close(
        found.double(), by_formula(query, key, value, ([50, 20], [50, 20]), 0.3), atol=2e-2, rtol=2e-2
    )


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_it_rounds_no_more_than_pytorchs_kernel(spread: float) -> None:
    """Large scores too: rounded to bfloat16 they would be wrong by whole units there."""
    query, key, value = drawn(300, 4, 64, 1, spread), drawn(300, 4, 64, 2, spread), drawn(300, 4, 64, 3)
    exact = by_formula(query, key, value, ([300], [300]), 0.125)
    with torch.inference_mode():
        found = attend(query, key, value, ([300], [300]), 0.125)
        own = scaled_dot_product_attention(
            *(part.transpose(0, 1)[None] for part in (query, key, value)), is_causal=True, scale=0.125
        )
    gap, allowed = (float((one.double() - exact).abs().mean()) for one in (found, own[0].transpose(0, 1)))
    assert gap <= 1.25 * allowed


def test_the_precision_of_other_products_stays() -> None:
    one = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    before = one @ one
    precision = torch.get_float32_matmul_precision()
    with torch.inference_mode():
        attend(drawn(9, 2, 8, 1), drawn(9, 2, 8, 2), drawn(9, 2, 8, 3), ([9], [9]), 0.3)
        with pytest.raises(RuntimeError):
            attend(drawn(9, 2, 8, 1), drawn(9, 2, 12, 2), drawn(9, 2, 8, 3), ([9], [9]), 0.3)
    assert torch.equal(one @ one, before)
    assert torch.get_float32_matmul_precision() == precision


def test_who_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key = drawn(9, 4, 8, 1), drawn(9, 2, 8, 2)
    monkeypatch.setattr(blocked_attention, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    assert not serves(query, key, key)  # gradients
    with torch.inference_mode():
        assert serves(query, key, key)
        assert not serves(query.float(), key.float(), key.float())
        assert not serves(query.half(), key.half(), key.half())
        assert not serves(query.float(), key, key)
        for flags in ((), ("avx2",), ("avx512_bf16", "amx_bf16")):
            monkeypatch.setattr(blocked_attention, "cpu_flags", lambda flags=flags: frozenset(flags))
            assert not serves(query, key, key)


@pytest.mark.parametrize(
    ("causal", "window", "dropout", "softcap", "taken"),
    [(True, None, 0.0, None, True), (True, 9, 0.0, None, True), (True, 8, 0.0, None, False), (False, None, 0.0, None, False),
     (True, None, 0.1, None, False), (True, None, 0.0, 30.0, False)],
)  # fmt: skip
def test_only_plain_causal_attention_goes_there(
    monkeypatch: pytest.MonkeyPatch,
    causal: bool,
    window: int | None,
    dropout: float,
    softcap: float | None,
    taken: bool,
) -> None:
    calls = []
    monkeypatch.setattr(blocked_attention, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.setattr(blocked_attention, "attend", lambda *given: calls.append(given) or attend(*given))
    query, key = drawn(12, 4, 8, 1), drawn(12, 2, 8, 2)
    module = torch.nn.Module()
    bounds = torch.tensor([0, 9, 12], dtype=torch.int32)
    with torch.inference_mode():
        found, _ = attention.attend(
            module,
            *(part.transpose(0, 1)[None] for part in (query, key, key)),
            None,
            dropout,
            0.3,
            causal,
            window,
            softcap,
            bounds,
        )
    assert bool(calls) == taken
    assert found.shape == (1, 12, 4, 8)


def test_this_machine_uses_it_where_it_can() -> None:
    with torch.inference_mode():
        assert serves(drawn(9, 4, 8, 1), drawn(9, 2, 8, 2), drawn(9, 2, 8, 3)) == (
            {"avx512_bf16", "amx_bf16"} & cpu_flags() == {"avx512_bf16"}
        )


def test_a_segment_that_is_no_number_stays_alone() -> None:
    query, key, value = drawn(250, 4, 8, 1), drawn(250, 2, 8, 2), drawn(250, 2, 8, 3)
    sizes = [100, 50, 100]
    with torch.inference_mode():
        whole = attend(query, key, value, (sizes, sizes), 0.3)
        query[100:150] = torch.nan
        found = attend(query, key, value, (sizes, sizes), 0.3)
    assert torch.equal(found[:100], whole[:100])
    assert found[100:150].isnan().all()
    assert torch.equal(found[150:], whole[150:])
