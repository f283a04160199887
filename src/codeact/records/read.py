"""Rows of any known format to records, and what was not read on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from types import MappingProxyType
from typing import Any

from codeact.amounts import amount
from codeact.errors import InputError
from codeact.records.columns import Format, as_mapping, detect_format, find_format
from codeact.records.content import is_blank, is_missing
from codeact.records.given import as_rows
from codeact.records.rows import is_graded, read_row
from codeact.records.types import Message, Record, Rejected, Unreadable, content_hash, digest
from codeact.records.unread import absent, is_template, marks, untold
from codeact.sources.lines import columns_of
from codeact.storage import Source, read_rows

Locate = Callable[[int], str]


def row_number(row: int) -> str:
    """`row 1` for the first."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Reading:
    """What became of the rows of a source.

    Attributes:
        where: the source's name.
        records: the usable rows, in order.
        rejected: the others, with the reason, in order.
        forms: name of the form -> rows that had it.
        not_read: what may matter and was not read -> rows (or turns) that have it.
        marks: mark of a chat template in what was read -> rows that have it.
        locate: says where a row stands, by its 0-based position.
        count: of the usable rows, where `records` does not hold them.
    """

    where: str
    records: list[Record]
    rejected: list[Rejected]
    forms: Mapping[str, int] = field(default_factory=dict)
    not_read: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)
    locate: Locate = row_number
    count: int | None = None

    @property
    def usable_rows(self) -> int:
        """How many rows became records."""
        return len(self.records) if self.count is None else self.count

    def _cause(self, rejected: Rejected) -> str:
        return f"{self.locate(rejected.row)}: {rejected.reason}: {rejected.detail}"

    def usable(self) -> list[Record]:
        """The records.

        Raises:
            InputError: there are none.
        """
        if self.problem:
            raise InputError(self.problem)
        return self.records

    @property
    def problem(self) -> str:
        """What is wrong where no row is usable; "" where one is."""
        if self.usable_rows:
            return ""
        first = self.rejected[0]
        return (
            f"{self.where}: none of its rows is usable ({counted(self.rejected)});"
            f" the first: {self._cause(first)}"
        )

    def summary(self) -> dict[str, Any]:
        """`rows, records, rejected` (reason -> rows), `first_rejected`, `not_read` and `marks`, for tables and --json."""
        first = self.rejected[0] if self.rejected else None
        return {
            "rows": self.usable_rows + len(self.rejected), "records": self.usable_rows,
            "rejected": dict(Counter(r.reason for r in self.rejected)),
            "first_rejected": self._cause(first) if first else None,
            "not_read": dict(self.not_read), "marks": dict(self.marks),
        }  # fmt: skip


def counted(rejected: Sequence[Rejected]) -> str:
    """Reasons with their numbers, the most frequent first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in Counter(r.reason for r in rejected).most_common())


MAX_PLACES = 5


def possible_line(count: int, places: Sequence[str]) -> str:
    """For people: where what is kept may hold a secret."""
    told = "; ".join(places[:MAX_PLACES]) + ("; ... (--json names more)" if len(places) > MAX_PLACES else "")
    return f"kept, though they may hold a secret or somebody's e-mail address: {count:,} ({told})"


MARKED = {
    True: "the text holds marks of a template: {}; where they are not meant, split it into turns or take them out",
    False: "read as they are, though they look like damage or an absent value: {}; where they are, mend the file: leave the column empty, or the turns out",
}


def reading_lines(summary: Mapping[str, Any]) -> list[str]:
    """For people: how many rows were refused, with the first cause, what was not read and what may hold a secret; nothing where all is well.

    Args:
        summary: of `Reading.summary`.
    """
    refused = {reason: count for reason, count in summary.get("rejected", {}).items() if reason != "limit"}
    lines = []
    if refused:
        reasons = ", ".join(
            f"{reason} {count:,}" for reason, count in sorted(refused.items(), key=lambda item: -item[1])
        )
        lines.append(
            f"refused: {sum(refused.values()):,} of {amount(summary['rows'], 'row')} ({reasons}); the first: {summary['first_rejected']}"
        )
    if summary.get("not_read"):
        names = ", ".join(f"{name} ({count:,})" for name, count in list(summary["not_read"].items())[:8])
        lines.append(f"may matter and was not read: {names}; if it does, name it with --map FIELD=COLUMN")
    for of_template, told in MARKED.items():
        names = ", ".join(f"{mark} ({count:,})" for mark, count in (summary.get("marks") or {}).items() if is_template(mark) is of_template)
        lines += [told.format(names)] if names else []
    if summary.get("possible_secrets"):
        lines.append(possible_line(summary["possible_secrets"], summary["possible_places"]))
    return lines


def read_records(
    rows: Sequence[Mapping[str, Any]],
    mapping: Mapping[str, str] | None = None,
    where: str = "the data",
    locate: Locate = row_number,
) -> Reading:
    """Bring rows of any known format to records; a row that cannot be read becomes a `Rejected`.

    All rows settle the format: each is read by the columns that it fills, so that files of mixed shape are read whole.

    Args:
        rows: dictionaries as read from the file; they are not changed.
        mapping: field -> column, overriding what is detected.
        where: the file's name for error messages.
        locate: says where a row stands, where the rows come from several files.

    Raises:
        InputError: no rows, something else than rows, unknown columns, or two rows share an explicit id.
    """
    return _read(RowReader(as_rows(rows), mapping, where, locate))


def _read(reader: RowReader) -> Reading:
    """What became of all rows of a reader."""
    records: list[Record] = []
    rejected: list[Rejected] = []
    for item in reader:
        if isinstance(item, Record):
            records.append(item)
        else:
            rejected.append(item)
    return reader.reading(records, rejected)


class RowParser:
    """Reads one row at a time, and counts what it meets; no row has a say in what becomes of another.

    Args:
        whole: the form of all rows together.
        mapping: as `read_records`.
        weight_key: a mapped weight that is a key of the turns and no column; "" for none.
        graded: of `rows.is_graded`.

    Attributes:
        used, unread, marked: see `Reading.forms`, `Reading.not_read` and `Reading.marks`.
    """

    def __init__(self, whole: Format, mapping: Mapping[str, str], weight_key: str, graded: bool) -> None:
        self.whole, self.mapping, self.weight_key, self.graded = whole, dict(mapping), weight_key, graded
        self.forms: dict[tuple[str, ...], tuple[Format, frozenset[str]]] = {}
        self.start()

    def start(self) -> None:
        """Count anew."""
        self.used: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.marked: Counter[str] = Counter()

    def read(self, index: int, row: Mapping[str, Any]) -> Record | Rejected:
        """What a row becomes; its id is not unique yet (`Ids`)."""
        filled = tuple([key for key, value in row.items() if isinstance(value, str) or not (is_missing(value) or _is_empty(value))])
        if filled not in self.forms:
            own = _form(filled, self.whole, self.mapping)
            self.forms[filled] = own, frozenset(own.columns.values())
        form, taken = self.forms[filled]
        try:
            messages, tools = read_row(row, form, self.unread, self.weight_key, self.graded)
        except Unreadable as problem:
            return Rejected(self._identity(row, None, ""), index, problem.reason, problem.detail)
        for name in untold(row, form, taken, messages, tools):
            self.unread[f"column {name!r}"] += 1
        for mark in (*marks(messages), *absent(row, form.columns, messages)):
            self.marked[mark] += 1
        self.used[form.name] += 1
        meta = {key: value for key, value in row.items() if key not in taken}
        meta["row"] = index
        return Record(self._identity(row, messages, tools), messages, MappingProxyType(meta), tools)

    def names_itself(self, row: Mapping[str, Any]) -> bool:
        """Whether the row has an id of its own."""
        column = self.whole.column("id")
        return bool(column) and not is_blank(row.get(column))

    def _identity(self, row: Mapping[str, Any], messages: Sequence[Message] | None, tools: str) -> str:
        """The row's own id, else a hash of what it says; `messages` is None where it could not be read."""
        if self.names_itself(row):
            return str(row[self.whole.column("id")])
        return content_hash(messages, tools) if messages is not None else digest(repr(sorted(row.items(), key=str)))


class RowReader:
    """`read_records` row by row, for data that is larger than the memory: a record or a refused row for each row.

    Args:
        rows, mapping, where, locate: as `read_records`.

    Raises:
        InputError: as `read_records`; of ids that are not unique only when the row is reached.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], mapping: Mapping[str, str] | None = None, where: str = "the data", locate: Locate = row_number
    ) -> None:
        if not rows:
            raise InputError(f"{where} holds no rows; give at least one instruction/response pair")
        self.rows, self.mapping, self.where, self.locate = rows, as_mapping(mapping), where, locate
        self.columns = columns_of(rows)
        self.whole = detect_format(self.columns, self.mapping, where, rows[0])
        self.parser = RowParser(self.whole, self.mapping, _weight_key(self.mapping, self.columns, self.whole), is_graded(rows, self.whole))

    def __iter__(self) -> Iterator[Record | Rejected]:
        self.parser.start()
        ids = Ids(self.where, self.locate)
        for index, row in enumerate(self.rows):
            found = self.parser.read(index, row)
            identity = ids.unique(found.id, self.parser.names_itself(row), index)
            yield found if identity == found.id else replace(found, id=identity)
        self.check_weight()

    def check_weight(self) -> None:
        """Refuse a mapped weight that no row has, once they have been read.

        Raises:
            InputError: it is neither a column nor a key of the turns.
        """
        key = self.parser.weight_key
        if key and key not in self.columns and not _seen(self.rows, self.whole, key):
            raise InputError(f"--map weight={key}: {self.where} has no column and no turn with that key")

    def reading(self, records: list[Record], rejected: list[Rejected], count: int | None = None) -> Reading:
        """What became of all rows, once they have been read.

        Args:
            records: the usable rows.
            rejected: the others.
            count: of the usable rows, where `records` does not hold them.
        """
        order = sorted(self.parser.unread.items(), key=lambda item: (-item[1], item[0]))
        return Reading(
            self.where, records, rejected, dict(self.parser.used), dict(order), dict(self.parser.marked.most_common()), self.locate,
            len(records) if count is None else count,
        )  # fmt: skip


def read_data(
    data: str | PathLike[str] | Sequence[str | PathLike[str]], mapping: Mapping[str, str] | None = None, split: str = "train"
) -> Reading:
    """`read_records` of data files, or of a split of a data set: what `codeact.storage.read_rows` reads.

    Raises:
        InputError: as these two; or rows are given.
    """
    if isinstance(data, str | PathLike):
        return read_source(read_rows(fspath(data), split), mapping)
    if not isinstance(data, Sequence) or not all(isinstance(name, str | PathLike) for name in data):
        raise InputError(f"the data are {type(data).__name__}, not a path or a list of paths; read rows with codeact.read_records")
    return read_source(read_rows([fspath(name) for name in data], split), mapping)


def read_source(source: Source, mapping: Mapping[str, str] | None = None) -> Reading:
    """`read_records` of rows that were read, with their own names for where they stand."""
    return _read(row_reader(source, mapping))


def row_reader(source: Source, mapping: Mapping[str, str] | None = None) -> RowReader:
    """`read_source` row by row."""
    return RowReader(source.rows, mapping, source.name, source.locate)


def _form(filled: tuple[str, ...], whole: Format, mapping: Mapping[str, str]) -> Format:
    """The form of a row: that of the whole file where the row fills its main columns, else that of the columns it fills."""
    main = [whole.columns[key] for key in ("messages", "instruction", "response", "chosen") if key in whole.columns]
    if all(column in filled for column in main):
        return whole
    own = find_format(filled, {key: column for key, column in mapping.items() if column == "-" or column in filled})
    if own is None or mapping.keys() & {"messages", "instruction", "response", "chosen"}:
        return whole
    chosen = whole.column("chosen")  # its absence in a row of preference data is a fault of that row
    return replace(own, columns={"chosen": chosen, **own.columns}) if chosen else own


def _is_empty(value: object) -> bool:
    return isinstance(value, list | tuple | Mapping) and not value


def _weight_key(mapping: Mapping[str, str], columns: Sequence[str], form: Format) -> str:
    """A mapped weight that is a key of the turns and no column."""
    key = mapping.get("weight", "")
    return "" if key == "-" or key in columns else key


def _seen(rows: Sequence[Mapping[str, Any]], form: Format, key: str) -> bool:
    column = form.column("messages") or form.column("instruction")
    return any(repr(key) in repr(row.get(column)) or f'"{key}"' in str(row.get(column)) for row in rows)


class Ids:
    """Makes ids unique: the row's own must be so, of those made from the content a copy gets a number."""

    def __init__(self, where: str, locate: Locate) -> None:
        self.where, self.locate = where, locate
        self.first: dict[str, int] = {}
        self.copies: dict[str, int] = {}  # of what was there before

    def unique(self, identity: str, explicit: bool, index: int) -> str:
        """The id of a row.

        Args:
            identity: as the row alone has it.
            explicit: whether the row names it.
            index: the row's 0-based position.

        Raises:
            InputError: an id that a row names was there before.
        """
        if identity in self.first:
            if explicit:
                first, second = self.locate(self.first[identity]), self.locate(index)
                both = f"rows {first[4:]} and {second[4:]}" if first.startswith("row ") else f"{first} and {second}"
                raise InputError(
                    f"{self.where}: {both} share the id {identity!r}; "
                    "make ids unique, or have them made from the content with --map id=-"
                )
            base = identity
            self.copies[base] = self.copies.get(base, 1) + 1
            identity = f"{base}-{self.copies[base]}"
        self.first[identity] = index
        return identity
