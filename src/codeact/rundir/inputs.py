"""What a run starts from: the data and the model, read late and only once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.config import Recipe
from codeact.downloads import DEMO
from codeact.errors import InputError
from codeact.evaluation import benchmarks
from codeact.files import at_home
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.identity import hub_commit, hub_name, model_identity, resolve, resolve_embedder
from codeact.lm.models import apart
from codeact.records import Reading, Record, RowReader, read_source, row_reader
from codeact.rundir import tables
from codeact.rundir.store import digest, file_digest, kept_digest
from codeact.sources.names import STDIN, as_list
from codeact.storage import Source

HARVEST = "harvest"


class Inputs:
    """The data source and the model of a recipe.

    Args:
        recipe: names both.
        source: rows already in memory (the Python interface); else `recipe.data.source` is read.
        known: id -> row of the whole data that these are a part of (the pool of a comparison): what `sample.listed` may name.
    """

    def __init__(self, recipe: Recipe, source: Source | None = None, known: Mapping[str, int] | None = None) -> None:
        self.recipe, self.given, self.known = recipe, source, known

    def check(self, stages: set[str]) -> None:
        """Refuse missing data and missing models before a run directory is made and long before their stage.

        Raises:
            InputError: the data, the model, the embedder, the judge, the target or a task set does not exist.
        """
        if self.given is None and self.recipe.data.source != HARVEST:
            storage.check_source(self.recipe.data.names)
        self._check_revisions()
        self.identity()
        if stages & {"score", "lengths", "hidden", "learn", "pack", "train", "evaluate_base"}:
            resolve(self.recipe.model.name, self.recipe.model.revision)
        if "proxy" in stages:
            resolve(self.recipe.score.proxy)
        if stages & {"target", "rds", "dsir"}:
            self.target()
        if "listed" in stages:
            self.listed()
        judge = self.recipe.judge
        if stages & {"judge", "tags"} and not judge.model:
            raise InputError(
                "judge.model is not set; name the model of judge.endpoint, or without an endpoint a local one (hub name, folder, demo): --set judge.model=NAME"
            )
        if "tags" in stages and not judge.endpoint:
            raise InputError("tags are generated text and need judge.endpoint, an OpenAI-compatible address: --set judge.endpoint=http://localhost:8000/v1")
        if "judge" in stages and not judge.endpoint:
            resolve(judge.model)
        if "embed" in stages:
            resolve_embedder(self.recipe.embed.model, self.recipe.embed.revision)
        if stages & {"evaluate_base", "evaluate_tuned", "evaluate_control"}:
            from codeact.evaluation import held_out
            from codeact.evaluation.task_selection import sets_of

            sets_of(self.recipe.evaluate)
            if self.recipe.evaluate.held_out:
                held_out.load(self.recipe.evaluate.held_out)

    def identity(self) -> Mapping[str, Any]:
        """What decides the rows, without keeping them: a hash of the file, of the rows in memory, or of the harvested trees."""
        data = self.recipe.data
        if self.given is not None:
            return {"rows": digest(list(self.given.rows))}
        if not any(data.names):
            raise InputError(
                "no data is named; give a .jsonl, .json, .csv or .parquet file, a folder of such, a Hugging Face data set name,"
                " or `harvest`"
            )
        if data.source == HARVEST:
            from codeact import harvesting

            own = data.harvest
            return {
                "harvest": own.model_dump(),
                "trees": [
                    harvesting.tree_identity(
                        root, languages=own.languages, include=own.include, exclude=own.exclude, history=own.commits > 0
                    )
                    for root in own.roots
                ],
            }
        if data.sources:
            self._apart()
            return {"sources": [[one.label, self._identity(one.path, one.split or data.split)] for one in data.sources]}
        return self._identity(data.source, data.split)

    def _identity(self, source: str | tuple[str, ...], split: str) -> Mapping[str, Any]:
        files = storage.source_files(source, split)
        if files is None:
            if STDIN in as_list(source):
                return {"rows": digest(list(self.source.rows))}
            parts = [self._part(name, split) for name in as_list(source)]
            return {"datasets": parts} if split == "train" else {"datasets": parts, "split": split}
        digests = [file_digest(path) for path in files]
        found: dict[str, Any] = {"file": digests[0]} if len(digests) == 1 else {"files": digests}
        return found if split == "train" else {**found, "split": split}

    def _part(self, name: str, split: str) -> list[str]:
        """Digests of the files of a name, or of the rows of a data set at the hub, which may change under its name."""
        files = storage.source_files(name, split)
        return [digest for one, digest in self.source.datasets if one == name] if files is None else [file_digest(path) for path in files]

    def _check_revisions(self) -> None:
        """Refuse a revision of what is no data set at the hub.

        Raises:
            InputError: there is one.
        """
        data = self.recipe.data
        if data.revision is not None and not any(map(self._at_hub, data.names)):
            raise InputError(f"data.revision={data.revision} is of a data set at the hub, and {self.name} is none: leave it out")
        for one in data.sources:
            if one.revision and not self._at_hub(one.path):
                raise InputError(f"data.sources: revision {one.revision!r} is of a data set at the hub, and {one.label} is none: leave it out")

    def _at_hub(self, name: str) -> bool:
        return self.given is None and name not in ("", STDIN, HARVEST) and not Path(name).exists() and storage.source_files(name, self._split(name)) is None

    def _split(self, name: str) -> str:
        data = self.recipe.data
        return next((one.split for one in data.sources if one.path == name and one.split), data.split)

    def _apart(self) -> None:
        """Refuse a file that is in two sources of a mixture, under whatever names.

        Raises:
            InputError: there is one, or a source is `harvest`.
        """
        data = self.recipe.data
        seen: dict[Path, str] = {}
        for one in data.sources:
            if one.path == HARVEST:
                raise InputError(
                    "data.sources: `harvest` cannot be a part of a mixture; run `codeact harvest` and name the file that it writes"
                )
            for file in storage.source_files(one.path, one.split or data.split) or ():
                other = seen.setdefault(file.resolve(), one.label)
                if other != one.label:
                    raise InputError(f"data.sources: {file} is in two sources, {other} and {one.label}; name it in one")

    def files(self) -> list[Path] | None:
        """The files that decide the rows, in order; None where some of the rows come from elsewhere."""
        found = list[Path]()
        for name in self.recipe.data.names:
            files = storage.source_files(name, self._split(name)) if self.given is None and name not in ("", HARVEST) else None
            if files is None:
                return None
            found += files
        return found

    def origin(self) -> list[dict[str, str]]:
        """Every file that the rows come from: where it lies, and the SHA-256 of its content; empty where some come from no file."""
        found = (sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path] for path in self.files() or ())
        return [{"path": str(file.absolute()), "sha256": kept_digest(file)} for files in found for file in files]

    @property
    def delimited(self) -> bool:
        """Whether all rows come from CSV or TSV, by the names of the files."""
        return storage.is_delimited(self.files() or ())

    def paths(self) -> tuple[str, ...]:
        """Every file and folder that the recipe reads, by its name; what is not on this machine (a hub name) among them."""
        r = self.recipe
        known = [name for name in (r.model.name, r.embed.model, r.score.proxy, r.judge.model) if name != DEMO]  # a folder `demo` is none of them
        names = [*known, r.model.template, r.sample.target, r.sample.listed]
        names += r.curate.benchmark_files
        if r.data.source == HARVEST:
            names += r.data.harvest.roots
        elif self.given is None and any(r.data.names):
            names += [*r.data.names, *map(str, self.files() or ())]
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def name(self) -> str:
        """The data, by the name that the user gave."""
        return ", ".join(self.recipe.data.names) if self.given is None else self.given.name

    def embedder_files(self) -> Mapping[str, str]:
        """What may change under an embedder's name: the digest of a local folder's files, or the commit of a hub name.

        Raises:
            InputError: the hub cannot be reached, and nothing is cached.
        """
        folder = at_home(self.recipe.embed.model)
        if self.recipe.embed.model != DEMO and folder.is_dir():
            return {"embedder_files": file_digest(folder)}
        return {} if self.embedder_commit is None else {"embedder_commit": self.embedder_commit}

    @cached_property
    def embedder_commit(self) -> str | None:
        """The commit of an embedder that the hub serves; None of a folder, and of `demo`."""
        name, revision = self.recipe.embed.model, self.recipe.embed.revision
        if name == DEMO or at_home(name).is_dir():
            return None
        return hub_commit(hub_name(resolve_embedder(name, revision)), revision, "embedder")

    def benchmark_digests(self) -> Mapping[str, str]:
        """Hash of each benchmark file that the recipe names, and of those at hand that are looked for.

        Raises:
            InputError: a file does not exist.
        """
        found = {}
        for name in self.recipe.curate.benchmark_files:
            if not Path(name).exists():
                raise InputError(
                    f"curate.benchmark_files: {name} does not exist; give a file of tasks, of any kind that data may have"
                )
            found[name] = file_digest(Path(name))
        looked_for = benchmarks.looked_for(self.recipe.curate)
        return found | {
            f"{name}: {path.name}": file_digest(path) for name, paths in looked_for.items() for path in paths
        }

    def target(self) -> Mapping[str, Any]:
        """What decides the examples of strategy `targeted`.

        Raises:
            InputError: no file is named, or it does not exist.
        """
        sample = self.recipe.sample
        if not sample.target:
            raise InputError("sample.target is not set; name a file of examples of what the model is for: --set sample.target=FILE")
        if not Path(sample.target).is_file():
            raise InputError(f"sample.target: {sample.target} does not exist; give a file of any kind that data may have")
        return {"target": file_digest(Path(sample.target)), "map": sample.target_map}

    def listed(self) -> Mapping[str, Any]:
        """What decides the selection of strategy `list`.

        Raises:
            InputError: no file is named, or it does not exist.
        """
        name = self.recipe.sample.listed
        if not name:
            raise InputError("sample.listed is not set; name a file of ids, or of row numbers from 0, one a line: --set sample.listed=FILE")
        if not Path(name).is_file():
            raise InputError(f"sample.listed: {name} does not exist; give a file of ids, or of row numbers from 0, one a line")
        return {"listed": file_digest(Path(name)), **({} if self.known is None else {"known": digest(self.known)})}

    @cached_property
    def source(self) -> Source:
        """The rows."""
        data = self.recipe.data
        if self.given is not None:
            return self.given
        if data.source == HARVEST:
            from codeact import harvesting

            found = harvesting.harvest_functions(**data.harvest.model_dump())
            return Source("the harvest", harvesting.to_rows(found.records))
        if data.sources:
            return storage.read_mixture([(one.path, one.split or data.split, one.revision or data.revision, one.label) for one in data.sources])
        return storage.read_rows(data.source, data.split, data.revision)

    def read(self) -> Reading:
        """What becomes of the rows: records, refused rows, columns that are not read. Read anew each time: it is as large as the data."""
        return read_source(self.source, self.recipe.data.map)

    def reader(self) -> RowReader:
        """The same, row by row."""
        return row_reader(self.source, self.recipe.data.map)

    def records(self) -> tuple[list[Record], Reading]:
        """The records that a run of this recipe uses, the seeded sample of `data.limit` or all of them; and the whole reading.

        Raises:
            InputError: no row is usable.
        """
        reading = self.read()
        return tables.limited(reading.usable(), self.recipe.data.limit, self.recipe.seed), reading

    @cached_property
    def _model(self) -> dict[str, Any]:
        return self.facts(self.recipe.model.name, self.recipe.model.revision)

    @cached_property
    def _proxy(self) -> dict[str, Any]:
        return self.facts(self.recipe.score.proxy, None)

    def facts(self, name: str, revision: str | None = None) -> dict[str, Any]:
        """What decides the numbers of the model `name` under this recipe's settings."""
        m = self.recipe.model
        device = choose_device(m.device)
        dtype = str(choose_dtype(m.dtype, device)).removeprefix("torch.")
        identity = model_identity(name, revision)
        return {
            "identity": identity,
            "dtype": dtype,
            "device": device.type,
            "max_length": m.max_length,
            "template": self.template(),
            **apart(name, revision, m.max_length),
        }

    def template(self) -> str:
        """What decides how records are worded: the digest of a jinja file, else the template's name."""
        name = self.recipe.model.template
        return file_digest(Path(name)) if Path(name).is_file() else name

    def model(self) -> Mapping[str, Any]:
        """What decides the model's numbers: weights and tokenizer, dtype, device type, context and template."""
        return self._model

    def proxy(self) -> Mapping[str, Any]:
        """The same of the proxy model that scores for Superfiltering."""
        return self._proxy
