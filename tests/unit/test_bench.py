"""`make bench`: rows, turns, other tools as processes, and the page that is written from the result file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers, performance_page, result_files, run, slices, template_masks, turns

ROOT = Path(__file__).parents[2]
CHEAP = ("planning", "same meaning")


def cheap(one: slices.Slice, _: float) -> dict[str, Any]:
    return run.rounded(run.measure_here(one))


def test_the_page_is_written_from_the_result_file() -> None:
    found = result_files.read(run.RESULT)
    assert run.PAGE.read_text(encoding="utf-8") == performance_page.markdown(found, [one.name for one in run.rows()])


def test_a_dry_run_goes_on_where_it_ended_and_fills_the_page(tmp_path: Path) -> None:
    output = tmp_path / "performance.json"
    some = [one for one in run.rows(small=True, peers=False) if one.name in CHEAP]
    left = slices.run(some, output, 0.0, False, cheap)
    assert left == [some[1].name]
    ran: list[str] = []
    assert slices.run(some, output, 1e9, False, lambda one, limit: ran.append(one.name) or cheap(one, limit)) == []
    assert ran == left
    page = performance_page.markdown(result_files.read(output), [*CHEAP, "training"])
    assert "## Packing 500 samples" in page
    assert "| codeact plan_epoch |" in page
    assert "On this machine: training." in page


def test_every_row_has_a_module_and_settings_that_it_takes() -> None:
    import inspect
    from importlib import import_module

    for small in (True, False):
        for one in run.rows(small):
            taken = inspect.signature(import_module(f"benchmarks.rows.{one.work}").measure)
            taken.bind(**one.settings)
    assert {one.work for one in run.rows()} == {file.stem for file in (ROOT / "benchmarks" / "rows").glob("*.py")} - {"__init__", "data"}


def test_turns_alternate_and_ratios_are_taken_within_a_round() -> None:
    order: list[str] = []

    def way(name: str, seconds: list[float]) -> Any:
        def turn(number: int) -> turns.Turn:
            order.append(name)
            return {"seconds": seconds[number], "cpu_seconds": 1.0}

        return turn

    found = turns.in_turns({"ours": way("ours", [1.0, 10.0, 2.0]), "theirs": way("theirs", [3.0, 10.0, 4.0])}, 3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert turns.ratios(found, "ours") == {"theirs": (2.0, 1.0, 3.0)}


def test_a_tool_that_fails_in_its_turn_is_named_and_the_row_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SCRIPTS", tmp_path)
    tmp_path.joinpath("serve.py").write_text((ROOT / "benchmarks/peer_scripts/serve.py").read_text())
    tmp_path.joinpath("work.py").write_text(
        "from serve import serve, settings\n"
        "def run(number):\n    print('noise of the tool')\n    assert number < settings()['fails'], 'no more'\n    return {'rows': number}\n"
        "serve(run)\n"
    )
    missing: dict[str, str] = {}
    with (
        peers.waiting("a", "work", {"fails": 9}, Path(sys.executable)) as good,
        peers.waiting("b", "work", {"fails": 1}, Path(sys.executable)) as bad,
    ):
        found = turns.in_turns({"good": good, "bad": bad}, 2, missing)
    assert [turn["rows"] for turn in found["good"]] == [0, 1]
    assert list(found) == ["good"]
    assert missing == {"bad": "b: AssertionError: no more"}


def test_a_tool_that_does_not_install_gives_its_reason_and_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_PEERS", str(tmp_path))
    monkeypatch.setitem(peers.ENVIRONMENTS, "nothing", peers.Environment((), "no_such_module"))
    tmp_path.joinpath("nothing/bin").mkdir(parents=True)
    tmp_path.joinpath("nothing/bin/python").symlink_to(sys.executable)
    for _ in range(2):
        with pytest.raises(peers.PeerError, match="No module named 'no_such_module'"):
            peers.python_of("nothing")
        tmp_path.joinpath("nothing/bin/python").unlink(missing_ok=True)
    page = performance_page.section({
        "date": "2026-01-01", "seconds": 2.0,
        "result": {"question": "Q", "unit": "samples", "ours": "a", "turns": {"a": [{"seconds": 1.0, "cpu_seconds": 1.0, "work": 3}]},
                   "missing": {"b": "does not install"}, "others": 0.4},
    })  # fmt: skip
    assert "**b** took no part: does not install." in page
    assert "others took 40% of the machine: **busy**." in page


def test_the_load_of_other_programs_is_a_share_of_the_machine() -> None:
    with turns.Load() as load:
        sum(range(200_000))
    assert load.others is not None
    assert 0.0 <= load.others <= 1.0


def test_masks_are_compared_under_a_template_that_shows_parts_alone() -> None:
    """Texts of such a template ended the table, or counted as other masks."""
    source = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% generation %}"
        "{{ m['content'][0]['text'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m['content'][0]['text'] + '<|im_end|>' }}{% endif %}\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    found = template_masks.check(source, template_masks.byte_level(template_masks.specials_of(source)))
    assert found["masks"] == found["masked"] == found["conversations"] == 18
