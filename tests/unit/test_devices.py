"""A dtype that the processor multiplies slowly is taken where it is named, and a line says what it costs."""

from __future__ import annotations

import logging

import pytest
import torch

from codeact.lm import devices

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def not_said_yet() -> None:
    devices._warn_if_slow.cache_clear()


@pytest.mark.parametrize(
    ("flags", "slow"),
    [
        ({"avx2", "avx512f"}, ["bfloat16", "float16"]),
        ({"avx512f", "avx512_bf16"}, ["float16"]),
        ({"amx_bf16", "avx512_fp16"}, []),
        ({"asimd", "asimdhp", "bf16"}, []),  # ARM
        (set(), []),  # not Linux: nothing is known
    ],
)
def test_what_the_processor_has_no_units_for_is_said_once(
    flags: set[str], slow: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset(flags))
    with caplog.at_level(logging.WARNING, "codeact"):
        for name in ("auto", "float32", "bfloat16", "bfloat16", "float16", "float16"):
            devices.choose_dtype(name, CPU)
        devices.choose_dtype("bfloat16", torch.device("cuda"))
    said = [record.getMessage() for record in caplog.records]
    assert [line.split("=")[1].split(":")[0] for line in said] == slow
    assert all("this processor has no units for it" in line and line.endswith("auto takes what is fast") for line in said)


def test_auto_takes_what_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, dtype in ((set[str](), torch.float32), ({"avx2"}, torch.float32), ({"amx_bf16"}, torch.bfloat16)):
        monkeypatch.setattr(devices, "cpu_flags", lambda flags=flags: frozenset(flags))
        assert devices.choose_dtype("auto", CPU) == dtype
