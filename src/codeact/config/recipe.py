"""The whole recipe, and its defaults."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from codeact.config.evaluation import EvaluateConfig
from codeact.config.kinds import Seed
from codeact.config.sections import (
    ClusterConfig,
    CurateConfig,
    DataConfig,
    EmbedConfig,
    JudgeConfig,
    ModelConfig,
    PackConfig,
    SampleConfig,
    ScoreConfig,
    Section,
    TrainConfig,
)
from codeact.downloads import DEMO


class Recipe(Section):
    """A whole run. Each section is the configuration of one stage."""

    @model_validator(mode="before")
    @classmethod
    def _demo_embedder(cls, tree: object) -> object:
        """The demo model takes the demo embedder along: both come from the package index, and neither needs a hub."""
        if not isinstance(tree, Mapping):
            return tree
        model, embed = tree.get("model"), tree.get("embed") or {}
        if isinstance(model, Mapping) and model.get("name") == DEMO and isinstance(embed, Mapping) and "model" not in embed:
            return {**tree, "embed": {**embed, "model": DEMO}}
        return tree

    run_dir: str = Field("runs/default", description="where the tables, the model and the report go")
    seed: Seed = Field(0, description="of every random choice that has no seed of its own")
    backend: Literal["local", "ray"] = Field(
        "local", description="where the work on single records runs: embedding, scoring, judging, and of large data reading and the checks"
    )
    workers: int = Field(
        0, ge=0, description="Ray actors (0: one per GPU of the cluster), and processes for the checks of `curate` (0: one per core)"
    )
    control: Literal["none", "random"] = Field(
        "none",
        description="`random`: `run` also trains and evaluates a random draw of as many response tokens, and says how much better than that"
        " the selection is; it takes the time of a second training",
    )
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    curate: CurateConfig = CurateConfig()
    embed: EmbedConfig = EmbedConfig()
    cluster: ClusterConfig = ClusterConfig()
    score: ScoreConfig = ScoreConfig()
    judge: JudgeConfig = JudgeConfig()
    sample: SampleConfig = SampleConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def seed_of(self, section: Literal["cluster", "sample", "train"]) -> int:
        """A stage's own seed, or the recipe's."""
        own: int | None = getattr(self, section).seed
        return self.seed if own is None else own


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield prefix + name
            yield from _sections(info.annotation, f"{prefix}{name}.")


SECTIONS = tuple(_sections(Recipe))  # dotted, those within others too
DEFAULTS = Recipe()  # the one home of every default: functions and options that stand for a key take theirs from here


def default_of(key: str) -> object:
    """The default of a dotted key, such as `sample.ratio`."""
    return functools.reduce(getattr, key.split("."), DEFAULTS)
