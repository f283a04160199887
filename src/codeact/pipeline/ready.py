"""What a run needs from this machine, looked at before its first stage: extras, device, templates, keys, settings, a sandbox.

A mistake that costs nothing to see must not be seen after hours of scoring or training.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from codeact.config import JudgeConfig, Recipe, TrainConfig, default_of
from codeact.errors import InputError, MissingExtraError
from codeact.files import utf8_path
from codeact.lm import models
from codeact.lm.devices import choose_device, own_device
from codeact.pipeline.plan import plan
from codeact.rundir import ranks
from codeact.rundir.inputs import Inputs
from codeact.sample import importance
from codeact.stages.evaluate import EVALUATIONS
from codeact.stages.target import examples

log = logging.getLogger(__name__)
DEFAULT_KEY = JudgeConfig.model_fields["api_key_env"].default


def check(recipe: Recipe, stages: Collection[str], finished: Collection[str] = ()) -> None:
    """Refuse what would fail later.

    Args:
        recipe: the whole configuration.
        stages: that are going to run, or to be looked at.
        finished: of these, those that have a result already; for them no sandbox is probed.

    Raises:
        InputError: a setting, template, device or file that cannot be used.
        MissingExtraError: an optional package is not installed.
        CodeactError: no sandbox holds here.
    """
    names = set(stages)
    planned = [stage for stage in plan(recipe, Inputs(recipe)) if stage.name in names]
    if any(stage.loads_model for stage in planned):
        own_device(choose_device(recipe.model.device))
    if ranks.world() > 1:
        _several(recipe, names)
    if recipe.backend == "ray" and any(stage.in_shards for stage in planned):
        needs("ray", "ray", "backend=ray")
    if names & {"score", "proxy"}:
        if recipe.score.endpoint:
            needs("httpx2", "judge", "score.endpoint")
        elif recipe.score.backend == "vllm":
            needs("vllm", "vllm", "score.backend vllm")
    if "curate" in names:
        _curation(recipe)
    if "dsir" in names:
        needs(importance.MODULE, importance.EXTRA, "strategy dsir")
    if names & {"target", "rds", "dsir"}:
        examples(recipe.sample)
    if names & {"judge", "tags"}:
        _judge(recipe)
    if names & {"score", "lengths", "hidden", "learn", "pack", "train"}:
        _template(recipe, names)
    if "train" in names:
        from codeact.training.checks import check_context, check_training

        check_training(recipe.model, recipe.train)
        check_context(models.text_config(recipe.model.name, recipe.model.revision), recipe.model, recipe.train, recipe.pack)
        utf8_path(Path(recipe.run_dir), "run directory")
    if "learn" in names:
        from codeact.stages.learn import probe_settings
        from codeact.training.checks import check_context, check_training

        check_training(recipe.model, probe_settings(recipe.train))
        check_context(models.text_config(recipe.model.name, recipe.model.revision), recipe.model, recipe.train, recipe.pack)
    if names & {*EVALUATIONS}:
        from codeact.evaluation.settings import check_evaluation

        generates = recipe.evaluate.generate_limit != 0 and bool(recipe.evaluate.tasks)
        check_evaluation(recipe.evaluate, generates)
        if generates and not names & {*EVALUATIONS} <= set(finished):
            from codeact.sandbox import detect_backend

            detect_backend(unsafe=recipe.evaluate.unsafe_no_sandbox)
        if recipe.evaluate.prompting == "instruct" or recipe.evaluate.held_out:
            _template(recipe, {"train"})


def _several(recipe: Recipe, names: set[str]) -> None:
    """What several processes of one launch cannot do together.

    Raises:
        InputError: that is asked for.
    """
    if recipe.backend == "ray":
        raise InputError("backend=ray starts its processes itself; start codeact once, without torchrun or accelerate launch")
    if names != {"train"} and names & {"train", *EVALUATIONS}:  # `codeact train` by itself is made for several
        raise InputError(
            f"{ranks.world()} processes were started; together they score and embed, and `codeact train` trains: select first"
            " (torchrun ... -m codeact select), then train (torchrun ... -m codeact train)"
        )
    if recipe.score.adaptive and "score" in names:
        raise InputError("adaptive scoring decides from what it has just measured, in one process: start one, or leave score.adaptive off")


def needs(module: str, extra: str, purpose: str) -> None:
    """See that an optional package is installed, without importing it.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec(module) is None:
        raise MissingExtraError(
            f"{purpose} needs the package {module!r}, which is not installed; install it with: pip install 'codeact[{extra}]'"
        )


def _curation(recipe: Recipe) -> None:
    from codeact.evaluation.benchmarks import benchmark_items
    from codeact.grammars import GRAMMAR_MODULES

    curate = recipe.curate
    if curate.near is not None:
        needs("datasketch", "curate", "curate.near")
    if curate.verify and "names" in curate.checks:
        needs("pyflakes", "curate", "curate.checks names")
    if curate.verify and "grammars" in curate.checks:
        for module in ("tree_sitter", *GRAMMAR_MODULES):
            needs(module, "curate", "curate.checks grammars")
    if curate.verify and "examples" in curate.checks:
        from codeact.sandbox import detect_backend

        detect_backend()
    benchmark_items(curate)


def _judge(recipe: Recipe) -> None:
    judge = recipe.judge
    if not judge.endpoint:
        return
    needs("httpx2", "judge", "judge.endpoint")
    if judge.api_key_env not in ("", DEFAULT_KEY) and judge.api_key_env not in os.environ:
        raise InputError(
            "judge.api_key_env names an environment variable that is not set; export it with the key, or leave judge.api_key_env out"
            " for a server that needs none"
        )


def _template(recipe: Recipe, names: Collection[str]) -> None:
    """Load the tokenizer and the templates that scoring and training will use."""
    from codeact.lm import prompts
    from codeact.score import default_template

    tokenizer = models.load_tokenizer(recipe.model.name, recipe.model.revision)
    if {"score", "lengths"} & set(names):
        default_template(recipe.score.variant, tokenizer, recipe.model.template)
    if {"hidden", "learn", "pack", "train"} & set(names):
        prompts.load_template(recipe.model.template, tokenizer)


# The sections that only some stages read: `model` and `data` say what is read, whatever is done with it.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "curate": ("records", "curate", "refine"),
    "embed": ("embed", "refine", "target"),
    "cluster": ("cluster",),
    "score": ("score", "proxy"),
    "judge": ("judge", "tags"),
    "sample": ("sample", "score", "target", "judge", "control"),
    "pack": ("pack", "train"),
    "train": ("pack", "train"),
    "evaluate": (*EVALUATIONS, "evaluate"),
}
READ_TOO: Mapping[str, tuple[str, ...]] = {"score.variant": ("lengths",)}  # keys that other stages read than their section's
ELSEWHERE = {*TrainConfig.WITHOUT_EFFECT, "eval_steps", "liger", "merge"}  # keys of `train` that mean nothing to another tool
EXPORTED = ("pack.overlong", "pack.scope", *(f"train.{key}" for key in TrainConfig.model_fields if key not in ELSEWHERE))
OWN = ("embed.model", "evaluate.enabled")  # of the commands' own options


def is_read(key: str, stages: Collection[str]) -> bool:
    """Whether one of the stages reads this key, of a section of `SECTIONS`."""
    return any(name in stages for name in (*SECTIONS[key.partition(".")[0]], *READ_TOO.get(key, ())))


def unused_keys(recipe: Recipe, stages: Iterable[str]) -> list[str]:
    """The keys that were set in a recipe and that none of the stages reads, in order."""
    names = set(stages)
    keys = [f"{section}.{key}" for section in SECTIONS for key in sorted(getattr(recipe, section).model_fields_set)]
    return [key for key in keys if key not in OWN and not is_read(key, names)]


def say_unused(recipe: Recipe, stages: Iterable[str], *, changed: bool = False) -> None:
    """One line for each setting that was given to a command that does not use it; with `changed`, if it is not the default.

    A whole recipe may hold every key, as the one that a run keeps does. What `codeact export` reads has its effect there: where there is
    a selection to export the line says so.
    """
    names = list(stages)
    for key in unused_keys(recipe, names):
        if changed and functools.reduce(getattr, key.split("."), recipe) == default_of(key):
            continue
        if "sample" in names and key in EXPORTED:
            log.info("%s is kept for `codeact export`: no stage that runs reads it", key)
            continue
        log.warning("%s has no effect here: no stage that runs reads it (%s)", key, ", ".join(names))
