"""The recipe: every setting of a run, validated, from YAML plus `key=value` overrides."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from codeact import shipped
from codeact.errors import InputError, did_you_mean
from codeact.redact import split_userinfo

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Tracker = Literal["tensorboard", "wandb", "trackio"]
Unit = Literal["records", "tokens"]

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy, scikit-learn and PyTorch all take

Benchmark = Literal["humaneval", "mbpp", "mbpp-all", "humanevalpack", "cruxeval"]
SecretKind = Literal["keys", "passwords", "emails"]
SECRET_KINDS: tuple[SecretKind, ...] = get_args(SecretKind)
Check = Literal["syntax", "grammars", "complete", "language", "names", "examples"]


SECRET_KEYS = ("api_key", "apikey", "key", "authorization", "token", "access_token", "password", "secret", "headers", "extra_headers")
MAY_HOLD_SECRETS = ("judge.endpoint", "judge.api_key_env", "judge.extra")  # their values are not shown in messages


DEMO = "demo"
RENAMED_KEYS = {"sample.budget": "sample.unit"}


def strategies() -> list[str]:
    """The names in the table of strategies, which is read when it is asked for: it loads numpy, and `codeact --help` need not."""
    from codeact.sample.strategies import names

    return names()


def _known_strategy(name: str) -> str:
    from codeact.sample.strategies import unknown

    if hint := unknown(name):
        raise ValueError(hint)
    return name


@dataclass(frozen=True)
class OneOf:
    """Marks a key that takes one of some names, for the list of keys and the JSON schema."""

    names: Callable[[], list[str]]

    def __get_pydantic_json_schema__(self, core: object, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(core), "enum": self.names()}


Strategy = Annotated[str, AfterValidator(_known_strategy), OneOf(strategies)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HarvestConfig(_Section):
    """Records made from documented functions of a source tree (used when `data.source` is `harvest`)."""

    roots: tuple[str, ...] = Field(
        ("stdlib",), description="source folders; `stdlib` is the running Python's own library"
    )
    min_tokens: int = Field(20, ge=1, description="shortest response kept, in Python lexical tokens")
    max_tokens: int = Field(1500, ge=1, description="longest response kept, in Python lexical tokens")
    secrets: tuple[SecretKind, ...] = Field(
        SECRET_KINDS, description="functions that hold one of these are left out; `[]`: none is looked for"
    )


class DataConfig(_Section):
    source: str | tuple[str, ...] = Field(
        "",
        description="a .jsonl/.json/.csv/.tsv/.parquet/.arrow file, a folder or a pattern of such, several of these,"
        " a Hugging Face data set name, or `harvest`",
    )
    split: str = Field("train", description="split of a data set, or of a folder whose files are named after splits")
    map: dict[str, str] = Field(
        default_factory=dict, description="field -> column, overriding the detected format; `-` for none"
    )
    limit: int | None = Field(None, ge=1, description="use a seeded random sample of this many rows (all: null)")
    harvest: HarvestConfig = HarvestConfig()


class CurateConfig(_Section):
    dedup: bool = Field(True, description="drop exact copies, compared without case, blanks and comments")
    renamed: bool = Field(False, description="drop code that differs in names, comments and layout only")
    near: float | None = Field(
        None,
        gt=0,
        le=1,
        description="drop near copies: Jaccard similarity of runs of 5 tokens (arXiv 2107.06499 uses 0.8)",
    )
    semantic: float | None = Field(
        None,
        gt=0,
        le=1,
        description="after embedding, drop records whose embedding has this cosine with one that stays",
    )
    decontaminate: Literal["auto"] | tuple[Benchmark, ...] = Field(
        "auto",
        description="benchmarks whose items are dropped from the pool; `auto`: each whose data is at hand; `mbpp`: the 378 tasks of "
        "MBPP+, `mbpp-all`: all splits; `[]`: none",
    )
    benchmark_files: tuple[str, ...] = Field(
        (), description="further benchmarks: files whose rows hold `prompt` and, where there is one, `solution`"
    )
    neighbours: float | None = Field(
        None,
        gt=0,
        le=1,
        description="after embedding, flag records with this cosine to a benchmark's prompt, for review",
    )
    ngram: int = Field(
        13,
        ge=2,
        description="word n-gram that counts as an overlap with a benchmark (GPT-3, arXiv 2005.14165, uses 13)",
    )
    verify: bool = Field(True, description="check the responses; see `checks`")
    checks: tuple[Check, ...] = Field(
        ("syntax",),
        description="`syntax`: Python parses; `grammars`: other languages; `complete`: refusals, empty, cut off; `language`: not the one "
        "asked for; `names`: undefined names; `examples`: the answer's own examples are run in the sandbox",
    )
    mismatch: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="ranks last a response that fits more than this share of unrelated instructions better than its own",
    )
    secrets: tuple[SecretKind, ...] = Field(
        (), description="drop records that hold `keys` (keys and tokens of services, private keys), `passwords` or `emails`"
    )
    failed: Literal["drop", "penalise"] = Field(
        "drop", description="records that fail a check leave the pool, or are ranked after all others of their cluster"
    )


class EmbedConfig(_Section):
    model: str = Field(
        "sentence-transformers/all-mpnet-base-v2",
        description="sentence-transformers name or folder; `demo` is all-MiniLM-L6-v2, and the default with model.name demo",
    )
    batch_size: int = Field(64, ge=1, description="texts in one pass of the embedder")
    text: Literal["instruction", "both"] = Field(
        "instruction", description="what is embedded; the paper embeds the instruction"
    )


def _clusters(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if (
        isinstance(value, bool)
        or not isinstance(value, int | str)
        or not str(value).strip().isdigit()
        or int(value) < 1
    ):
        raise ValueError("must be a whole number of at least 1, or auto")
    return int(value)


class ClusterConfig(_Section):
    k: Annotated[int | Literal["auto"], PlainValidator(_clusters)] = Field(
        10, description="number of K-means clusters (paper: 10); `auto`: by stability and silhouette on a sample"
    )
    seed: Seed | None = Field(None, description="of the K-means restarts; null: the recipe's seed")


class ScoreConfig(_Section):
    variant: Literal["default", "paper"] = Field(
        "default",
        description="`default`: both passes score the very same response tokens; `paper`: the formula as CodeACT's code has it",
    )
    batch_tokens: int = Field(0, ge=0, description="tokens in one forward pass; 0: chosen from the device")
    shard_size: int = Field(128, ge=1, description="records per resumable shard")
    adaptive: bool = Field(
        False, description="score in full only where it can change who is selected (strategies cdas and complexity)"
    )
    agreement: float = Field(
        0.9, ge=0.5, le=0.999, description="adaptive: expected Jaccard index with the selection of full scoring"
    )
    cache: bool = Field(
        True, description="share scores between runs (in CODEACT_SCORES, else in the user's cache directory)"
    )
    proxy: str = Field(
        "openai-community/gpt2", description="small model that scores for strategy superfiltering (its paper: GPT-2)"
    )


class JudgeConfig(_Section):
    """A language model that rates records (strategies alpagasus, deita) or tags them (instag)."""

    endpoint: str = Field(
        "",
        repr=False, description="OpenAI-compatible address, such as http://localhost:8000/v1; empty: a local model"
    )
    model: str = Field("", description="its name at the endpoint; without an endpoint a hub name, folder or `demo`")
    rubrics: tuple[Literal["accuracy", "complexity", "quality"], ...] = Field(
        (), description="what is asked; empty: what the strategy needs, else accuracy"
    )
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the endpoint's key, if it needs one"
    )
    concurrency: int = Field(8, ge=1, description="requests at the same time")
    timeout: float = Field(60, gt=0, description="seconds for one whole request")
    attempts: int = Field(6, ge=1, description="tries for each request")
    backoff: float = Field(1.0, ge=0, description="seconds before the second try; doubled for each further one")
    max_tokens: int = Field(128, ge=1, description="tokens of an answer")
    tag_tokens: int = Field(512, ge=1, description="tokens of an answer with tags")
    budget: float | None = Field(None, ge=0, description="US dollars at most (no limit: null)")
    price_in: float = Field(0, ge=0, description="US dollars for a million prompt tokens")
    price_out: float = Field(0, ge=0, description="US dollars for a million answer tokens")
    max_failures: float = Field(
        0.01, ge=0, le=1, description="share of requests that may fail for good before the stage does"
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="further keys of the request body")
    min_mass: float = Field(
        0.5, ge=0, le=1, description="local model: least probability of the digits together for a rating to count"
    )
    min_tag_count: int = Field(1, ge=1, description="tags that fewer records have are dropped (InsTag: 20)")
    merge_tags: bool = Field(False, description="make one tag of those whose embeddings nearly coincide")
    associate_tags: int = Field(
        0,
        ge=0,
        description="records that a tag must share with one it never goes without, to become it (InsTag: 40); 0: off",
    )

    @field_validator("endpoint")
    @classmethod
    def _base_address(cls, value: str) -> str:
        bare, _ = split_userinfo(value)
        if "@" in bare or (value and "://" not in value):
            raise ValueError("give http(s)://HOST/v1; what is special in a user:password@ before HOST is percent-encoded")
        if "?" in bare or "#" in bare:
            raise ValueError("give the base address without ? and #; a key belongs into the variable of judge.api_key_env")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _variable(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError("give the name of an environment variable, not the key itself")
        return value

    @field_validator("extra")
    @classmethod
    def _no_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        found = [key for key in value if key.lower().replace("-", "_") in SECRET_KEYS]
        if found:
            raise ValueError(f"{found[0]} would be kept in recipe.yaml; a key belongs into the variable of judge.api_key_env")
        return value

    @field_serializer("endpoint")
    def _without_password(self, value: str) -> str:
        return split_userinfo(value)[0]


class SampleConfig(_Section):
    strategy: Strategy = Field("cdas", description="which records are taken; see docs/strategies.md")
    ratio: float = Field(0.4, gt=0, le=1, description="share of the pool to keep (paper: 0.4)")
    unit: Unit = Field("records", description="what `ratio` is a share of: the records, or their response tokens")
    seed: Seed | None = Field(None, description="of the draw; null: the recipe's seed")
    floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description="each cluster and language keeps at least this part of its proportional share; 0: no floor",
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        description="nats that the instruction must save on the whole response (pointwise mutual information); less is no candidate; 0: off",
    )
    suspects: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the pool that is ranked last: where an operator or a number of the code surprises the model most; 0: none",
    )
    floor_lengths: bool = Field(False, description="`floor` holds for bands of response length too")
    target: str = Field("", description="file of examples of what the model is for (strategy targeted)")
    target_map: dict[str, str] = Field(default_factory=dict, description="field -> column of that file, as data.map")


class PackConfig(_Section):
    WITHOUT_EFFECT: ClassVar[set[str]] = {"rows_per_pass"}  # on what is trained
    scope: Literal["batch", "epoch", "none"] = Field("batch", description="`batch` is the paper's Dynamic Pack")
    overlong: Literal["error", "truncate", "split", "drop"] = Field(
        "truncate", description="what becomes of records longer than model.max_length; each is counted"
    )
    rows_per_pass: int = Field(1, ge=0, description="rows of a packed batch per forward and backward pass; 0: all")


class TrainConfig(_Section):
    WITHOUT_EFFECT: ClassVar[set[str]] = {"save_steps", "save_minutes", "report_to"}  # on what is trained
    method: Literal["full", "lora", "qlora"] = Field("full", description="qlora: LoRA on a base in 4 bits")
    seed: Seed | None = Field(None, description="of the order of the records and of dropout; null: the recipe's seed")
    loss: Literal["token-mean", "sample-mean"] = Field(
        "token-mean", description="of a step: mean over its learnt tokens, or over its samples, so that short answers weigh as much as long ones"
    )
    epochs: float = Field(3, gt=0, description="paper: 3")
    batch_size: int = Field(16, ge=1, description="records per batch, before packing")
    grad_accum: int = Field(1, ge=1, description="batches per optimizer step, on each device")
    learning_rate: float = Field(5e-5, gt=0, description="paper: 5e-5")
    warmup_steps: int = Field(15, ge=0, description="paper: 15")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's")
    scheduler: str = Field("cosine", description="of the learning rate after the warm-up: any of transformers (paper: cosine)")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    train_on_prompt: bool = Field(False, description="also learn the instruction tokens")
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: less memory, about a third more time"
    )
    save_steps: int = Field(0, ge=0, description="checkpoint every so many optimizer steps; 0: see save_minutes")
    save_minutes: float = Field(30, ge=0, description="without save_steps: after so many minutes, and each epoch")
    lora_r: int = Field(16, ge=1, description="LoRA: rank of the added matrices (arXiv 2106.09685)")
    lora_alpha: int = Field(32, ge=1, description="LoRA: the added part is scaled by alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="LoRA: share of its inputs that is dropped in training")
    merge: bool = Field(True, description="LoRA: also write the merged model; false: the adapter alone")
    validation: float = Field(0.0, ge=0, le=0.5, description="share of the records held out for a validation loss")
    eval_steps: int = Field(0, ge=0, description="optimizer steps between validation losses; 0: ten times a run")
    report_to: tuple[Tracker, ...] = Field((), description="trackers to log to, beside metrics.jsonl")
    liger: bool = Field(True, description="use Liger kernels where liger-kernel is installed and the device is CUDA")


class EvaluateConfig(_Section):
    enabled: bool = Field(True, description="false: `run` ends after training")
    tasks: tuple[str, ...] = Field(
        ("humaneval",), description="task sets (`codeact tasks` lists them; a `+` set reports its base set too) and .jsonl files of your own"
    )
    bits_per_byte: bool = Field(True, description="also measure bits per byte of the reference solutions")
    bits_limit: int | None = Field(
        None, ge=1, description="measure them for this many tasks, evenly spaced by number (all: null)"
    )
    generate_limit: int | None = Field(
        None, ge=0, description="generate for this many tasks, evenly spaced by number (all: null)"
    )
    skip_tasks: tuple[str, ...] = Field((), description="task ids to leave out, as those that settings were chosen on")
    max_new_tokens: int = Field(512, ge=1, description="longest completion, in tokens")
    batch_size: int = Field(32, ge=1, description="tasks that are generated for at the same time")
    prompting: Literal["base", "instruct"] = Field(
        "base", description="`base`: the task's own text is continued; `instruct`: it is asked for in a chat turn"
    )
    temperature: float = Field(0.0, ge=0, le=2, description="0: the most likely token; above: sampling, for pass@k")
    samples_per_task: int = Field(1, ge=1, description="generations for each task; more than one need a temperature")
    backend: Literal["transformers", "vllm"] = Field(
        "transformers", description="what generates; `vllm` is an extra, for GPUs"
    )
    unsafe_no_sandbox: bool = Field(False, description="run generated code without isolation; recorded in the results")


class ModelConfig(_Section):
    name: str = Field("", description="hub name, local folder, GGUF file, or `demo` (SmolLM2-135M-Instruct)")
    revision: str | None = Field(None, description="branch, tag or commit at the hub; null: the newest")
    dtype: Dtype = Field(
        "auto", description="of the weights; `auto`: bfloat16 where the device is fast with it, else float32"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:0, mps")
    max_length: int = Field(2048, ge=8, description="tokens; longer responses are truncated with a status")
    template: str = Field("auto", description="auto, question, alpaca, chat, or a jinja file")


class Recipe(_Section):
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
    backend: Literal["local", "ray"] = Field("local", description="where embedding and scoring run")
    workers: int = Field(0, ge=0, description="Ray actors; 0: one per GPU of the cluster")
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


DEFAULTS = Recipe()  # the one home of every default: functions and options that stand for a key take theirs from here


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key: `{"sample": {"ratio": 0.4}}` -> `{"sample.ratio": 0.4}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def given(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Of dotted keys and values those that were given (not None); what is left out has the recipe's default."""
    return {key: value for key, value in keys.items() if value is not None}


def joined(own: Mapping[str, Any], settings: Mapping[str, Any], by: str = "an argument or option of its own") -> dict[str, Any]:
    """The dotted keys that a call's own arguments stand for, and further settings beside them.

    Raises:
        InputError: a setting says otherwise what an argument says already; `by` names the argument.
    """
    for key in settings:
        for known, value in own.items():
            if known == key and value == settings[key]:
                continue
            if known == key or known.startswith(f"{key}.") or key.startswith(f"{known}."):
                which = "" if known == key else f", which stands for {known}"
                raise InputError(f"{key} is given twice: as a setting, and by {by}{which}; leave one of them out")
    return {**own, **settings}


def default_of(key: str) -> Any:
    """The default of a dotted key, such as `sample.ratio`."""
    return functools.reduce(getattr, key.split("."), DEFAULTS)


def load_recipe(
    path: str | Path | None = None, overrides: Iterable[str] = (), extra: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a YAML recipe, then apply `extra` (dotted key -> value) and `key=value` overrides, in this order.

    Raises:
        InputError: no such file, broken YAML, an unknown key (the nearest valid one is named) or a value out of range.
    """
    where = str(path) if path is not None else "the recipe"
    tree = read_yaml(Path(path)) if path is not None else {}
    for key, value in (extra or {}).items():
        set_key(tree, key, value)
    apply_overrides(tree, overrides, "sample.ratio=0.3")
    if "strategies" in tree and "recipe" in tree:
        raise InputError(f"{where} is a comparison of strategies, not the recipe of one run; use: codeact compare {where}")
    return validate(tree, where)


def validate(tree: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """Build a `Recipe` from nested dictionaries; every problem is one line.

    Raises:
        InputError: as `load_recipe`.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(_explain(item) for item in error.errors()[:3])) from error


def known_keys() -> list[str]:
    """Every dotted key that a recipe may hold."""
    return list(_walk(Recipe, ""))


def _walk(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, f"{prefix}{name}.")


def _explain(item: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        if key in RENAMED_KEYS:
            return f"{key!r} is now called {RENAMED_KEYS[key]!r}"
        near = nearest(key, known_keys())
        return f"unknown key {key!r}" + (
            f"; did you mean {near!r}?" if near else f"; the sections are {', '.join(Recipe.model_fields)}"
        )
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        message += did_you_mean(item["input"], re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    if key in MAY_HOLD_SECRETS:
        return f"{key}: {message[0].lower()}{message[1:]}"
    return f"{key} = {item['input']!r}: {message[0].lower()}{message[1:]}"


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to a misspelt one, or None when nothing is close. Compares last parts too (`ratio`)."""
    options = list(valid)
    last = {option.rpartition(".")[2]: option for option in reversed(options)}
    found = [last[name]] if name in last else difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if found:
        return found[0]
    tail = difflib.get_close_matches(name.rpartition(".")[2], list(last), n=1, cutoff=0.6)
    return last[tail[0]] if tail else None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds, one given by its path or a shipped one by its name; empty for an empty file.

    Raises:
        InputError: no such file, it cannot be read, or it holds something else.
    """
    try:
        tree = yaml.safe_load(shipped.find(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read: {_one_line(error)}") from error
    except yaml.YAMLError as error:
        raise InputError(f"recipe {path} is not valid YAML: {_one_line(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"recipe {path} holds {type(tree).__name__} at the top; a recipe is a mapping of sections")
    return tree


def set_key(tree: dict[str, Any], key: str, value: object) -> None:
    """Set a dotted key in nested dictionaries.

    Raises:
        InputError: a part of the key is no section.
    """
    *parents, last = key.split(".")
    here = tree
    for part in parents:
        child = here.setdefault(part, {})
        if not isinstance(child, dict):
            raise InputError(f"override {key!r}: {part!r} is not a section")
        here = child
    here[last] = value


def apply_overrides(tree: dict[str, Any], overrides: Iterable[str], example: str) -> None:
    """Set `key=value` texts, whose values are YAML, in nested dictionaries; `example` shows the form in messages.

    Raises:
        InputError: a text of another form, a value that is no YAML, or a part of a key that is no section.
    """
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key:
            raise InputError(f"override {override!r} is not of the form key=value, for example {example}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"override {override!r}: the value is not valid YAML: {_one_line(error)}") from error
        set_key(tree, key, value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
