"""The sections of a recipe: each key with its type, limits, default and meaning."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

from codeact.config.kinds import (
    SECRET_KINDS,
    Address,
    Benchmark,
    Check,
    Dtype,
    HarvestLanguage,
    KeyVariable,
    Moment,
    SecretKind,
    Seed,
    Strategy,
    Tracker,
    Unit,
)

SECRET_KEYS = ("api_key", "apikey", "key", "authorization", "token", "access_token", "password", "secret", "headers", "extra_headers")


class Section(BaseModel):
    """Unknown keys are refused, and so are infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def no_secrets(value: dict[str, Any]) -> dict[str, Any]:
    """Keys of a request body, without such as hold a secret.

    Raises:
        ValueError: there is one.
    """
    found = [key for key in value if key.lower().replace("-", "_") in SECRET_KEYS]
    if found:
        raise ValueError(f"{found[0]} would be kept in recipe.yaml; a key belongs into the variable that api_key_env names")
    return value


class HarvestConfig(Section):
    """Records made from documented functions of a source tree (used when `data.source` is `harvest`)."""

    roots: tuple[str, ...] = Field(
        ("stdlib",), description="source folders; `stdlib` is the running Python's own library"
    )
    languages: tuple[HarvestLanguage, ...] = Field(
        ("python",), min_length=1, description="of the functions; others than python need the extra `curate`"
    )
    include: tuple[str, ...] = Field(
        (), description="patterns such as `src/*`: only files that fit one are read; `*` takes `/` too"
    )
    exclude: tuple[str, ...] = Field((), description="patterns such as `legacy` or `*_old.py` of what is left out")
    commits: int = Field(
        0, ge=0, description="so many of each root's newest commits: one that changes one function is a record too (before -> after)"
    )
    min_tokens: int = Field(20, ge=1, description="shortest response kept, in lexical tokens")
    max_tokens: int = Field(1500, ge=1, description="longest response kept, in lexical tokens")
    secrets: tuple[SecretKind, ...] = Field(
        SECRET_KINDS, description="functions that hold one of these are left out; `[]`: none is looked for"
    )


class SourceConfig(Section):
    """One source of a mixture."""

    path: str = Field(min_length=1, description="what `data.source` takes: a file, a folder, a pattern, an address, a data set name")
    weight: float | None = Field(
        None, gt=0, description="its part of the selection, relative to the other weights; null for all: no quotas"
    )
    name: str = Field("", description="in tables and messages; empty: the path")
    split: str = Field("", description="as `data.split`; empty: that one")
    revision: str = Field("", description="as `data.revision`; empty: that one")

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.path


class DataConfig(Section):
    source: str | tuple[str, ...] = Field(
        "",
        description="a .jsonl/.json/.csv/.tsv/.parquet/.arrow file, a folder or a pattern of such, several of these,"
        " a Hugging Face data set name, or `harvest`",
    )
    sources: tuple[SourceConfig, ...] = Field(
        (), description="instead of `source`, a mixture: what is read, and the part of the selection that each gives"
    )
    split: str = Field("train", description="split of a data set, or of a folder whose files are named after splits")
    revision: str | None = Field(None, description="branch, tag or commit of a data set at the hub; null: the newest")
    map: dict[str, str] = Field(
        default_factory=dict, description="field -> column, overriding the detected format; `-` for none"
    )
    limit: int | None = Field(None, ge=1, description="use a seeded random sample of this many rows (all: null)")
    harvest: HarvestConfig = HarvestConfig()

    @field_validator("sources")
    @classmethod
    def _a_mixture(cls, value: tuple[SourceConfig, ...], info: ValidationInfo) -> tuple[SourceConfig, ...]:
        if value and info.data.get("source"):
            raise ValueError("data.source is set too; name the data in one of the two")
        for what, names in (("path", [one.path for one in value]), ("name", [one.label for one in value])):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"two sources have the {what} {twice!r}; name each once")
        bare = [one.label for one in value if one.weight is None]
        if bare and len(bare) < len(value):
            raise ValueError(f"{bare[0]!r} has no weight and others have; give all of them one, or none")
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that is read, as the user named it."""
        if self.sources:
            return tuple(one.path for one in self.sources)
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def weights(self) -> dict[str, float]:
        """Of a mixture with quotas, source -> weight; else empty."""
        return {one.label: one.weight for one in self.sources if one.weight is not None}


class CurateConfig(Section):
    """What is dropped from the data, or ranked last, before anything is chosen."""

    dedup: bool = Field(True, description="drop exact copies: records that differ in nothing that can carry meaning")
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


class EmbedConfig(Section):
    model: str = Field(
        "sentence-transformers/all-mpnet-base-v2",
        description="sentence-transformers name or folder; `demo` is all-MiniLM-L6-v2, and the default with model.name demo",
    )
    revision: str | None = Field(None, description="branch, tag or commit at the hub; null: the newest, or what the cache holds")
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


class ClusterConfig(Section):
    k: Annotated[int | Literal["auto"], PlainValidator(_clusters)] = Field(
        10, description="number of K-means clusters (paper: 10); `auto`: by stability and silhouette on a sample"
    )
    seed: Seed | None = Field(None, description="of the K-means restarts; null: the recipe's seed")


class ScoreConfig(Section):
    variant: Literal["default", "paper"] = Field(
        "default",
        description="`default`: both passes score the very same response tokens; `paper`: the formula as CodeACT's code has it",
    )
    batch_tokens: int = Field(0, ge=0, description="tokens in one forward pass; 0: chosen from the device")
    shard_size: int = Field(0, ge=0, description="records per resumable shard; 0: 128, from a million records on 1,024")
    adaptive: bool = Field(
        False, description="score in full only where it can change who is selected (strategies cdas and complexity, by records)"
    )
    agreement: float = Field(
        0.9, ge=0.5, le=0.999, description="adaptive: expected Jaccard index with the selection of full scoring"
    )
    cache: bool = Field(
        True, description="share scores between runs (in CODEACT_SCORES, else in the user's cache directory)"
    )
    backend: Literal["transformers", "vllm"] = Field(
        "transformers", description="what runs the model; `vllm` is an extra, for models larger than one GPU"
    )
    endpoint: Address = Field(
        "",
        repr=False, description="OpenAI-compatible address that returns log-probabilities of prompts (vLLM, SGLang), such as"
        " http://localhost:8000/v1; empty: the model runs here",
    )
    endpoint_model: str = Field("", description="the model's name at the endpoint; empty: model.name")
    proxy: str = Field(
        "openai-community/gpt2", description="small model that scores for strategy superfiltering (its paper: GPT-2)"
    )


class JudgeConfig(Section):
    """A language model that rates records (strategies alpagasus, deita) or tags them (instag)."""

    endpoint: Address = Field(
        "",
        repr=False, description="OpenAI-compatible address, such as http://localhost:8000/v1; empty: a local model"
    )
    model: str = Field("", description="its name at the endpoint; without an endpoint a hub name, folder or `demo`")
    rubrics: tuple[Literal["accuracy", "complexity", "quality"], ...] = Field(
        (), description="what is asked; empty: what the strategy needs, else accuracy"
    )
    api_key_env: KeyVariable = Field(
        "OPENAI_API_KEY", description="environment variable that holds the endpoint's key, if it needs one"
    )
    concurrency: int = Field(8, ge=1, description="requests at the same time")
    timeout: float = Field(60, gt=0, description="seconds for one whole request")
    attempts: int = Field(6, ge=1, description="tries for each request")
    backoff: float = Field(1.0, ge=0, description="seconds before the second try; doubled for each further one")
    max_tokens: int = Field(128, ge=1, description="tokens of an answer")
    tag_tokens: int = Field(512, ge=1, description="tokens of an answer with tags")
    description_tokens: int = Field(512, ge=1, description="tokens of a description of a function (`harvest --describe`)")
    asked_since: Moment = Field("", description="kept answers that are older than this date (and time, in UTC) are asked for anew; empty: none")
    budget: float | None = Field(
        None, ge=0, description="US dollars at most, of all rubrics, tags and starts of a run directory (no limit: null)"
    )
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

    _no_secrets = field_validator("extra")(no_secrets)


class SampleConfig(Section):
    strategy: Strategy = Field("trim-diversity", description="which records are taken; see `codeact docs strategies`")
    ratio: float = Field(0.4, gt=0, le=1, description="share of the pool to keep (paper: 0.4)")
    unit: Unit = Field("tokens", description="what `ratio` is a share of: the records (paper), or their response tokens")
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
    trim: float = Field(
        0.1, ge=0, lt=1, description="strategies trim, trim-diversity: share of the records, the longest, that is cut before the draw"
    )
    like: Strategy = Field("cdas", description="strategy length-matched: the strategy whose selection's lengths it draws by")
    listed: str = Field("", description="strategy list: file of ids, or of row numbers from 0, the first to take first")
    target: str = Field("", description="file of examples of what the model is for (strategies targeted, rds, dsir)")
    target_map: dict[str, str] = Field(default_factory=dict, description="field -> column of that file, as data.map")


class PackConfig(Section):
    WITHOUT_EFFECT: ClassVar[set[str]] = {"rows_per_pass"}  # on what is trained
    scope: Literal["batch", "epoch", "none"] = Field("batch", description="`batch` is the paper's Dynamic Pack")
    overlong: Literal["error", "truncate", "split", "drop"] = Field(
        "truncate", description="what becomes of records longer than model.max_length; each is counted"
    )
    rows_per_pass: int = Field(1, ge=0, description="rows of a packed batch per forward and backward pass; 0: all")


class TrainConfig(Section):
    WITHOUT_EFFECT: ClassVar[set[str]] = {"save_steps", "save_minutes", "report_to", "shard"}  # on what is trained
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
    token_share: float = Field(
        1.0, gt=0, le=1, description="share of the answers' tokens that is learnt: those that the base model expects least; 1: all"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: less memory, about a third more time"
    )
    shard: bool = Field(
        False, description="several processes: share out weights, gradients and optimizer states among them (FSDP 2)"
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

    def deciding(self) -> dict[str, Any]:
        """What decides the result of a training. A setting that is younger than finished trainings counts where it is used."""
        return {key: value for key, value in self.model_dump(exclude=self.WITHOUT_EFFECT).items() if (key, value) != ("token_share", 1.0)}


class ModelConfig(Section):
    name: str = Field("", description="hub name, local folder, GGUF file, or `demo` (SmolLM2-135M-Instruct)")
    revision: str | None = Field(None, description="branch, tag or commit at the hub; null: the newest")
    dtype: Dtype = Field(
        "auto", description="of the weights; `auto`: bfloat16 where the device is fast with it, else float32"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:0, mps")
    max_length: int = Field(2048, ge=8, description="longest record, in tokens; longer answers are cut, and counted")
    template: str = Field("auto", description="auto, question, alpaca, chat, or a jinja file")
