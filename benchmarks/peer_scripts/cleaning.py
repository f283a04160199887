"""data-juicer's filters of text as its recipes for instruction data use them, and its exact deduplicator."""

import json
from pathlib import Path

from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator.document_deduplicator import DocumentDeduplicator
from data_juicer.ops.filter.alphanumeric_filter import AlphanumericFilter
from data_juicer.ops.filter.average_line_length_filter import AverageLineLengthFilter
from data_juicer.ops.filter.character_repetition_filter import CharacterRepetitionFilter
from data_juicer.ops.filter.maximum_line_length_filter import MaximumLineLengthFilter
from data_juicer.ops.filter.special_characters_filter import SpecialCharactersFilter
from data_juicer.ops.filter.text_length_filter import TextLengthFilter
from data_juicer.ops.filter.word_repetition_filter import WordRepetitionFilter
from serve import serve, settings

ROWS = [json.loads(line) for line in Path(settings()["texts"]).read_text(encoding="utf-8").splitlines()]
FILTERS = (
    AlphanumericFilter, AverageLineLengthFilter, CharacterRepetitionFilter, MaximumLineLengthFilter, SpecialCharactersFilter,
    TextLengthFilter, WordRepetitionFilter,
)  # fmt: skip


def run(_):
    data = NestedDataset.from_list(ROWS)
    for kind in FILTERS:
        data = kind(num_proc=1).run(data)
    return {"dropped": len(ROWS) - len(DocumentDeduplicator(num_proc=1).run(data))}


serve(run)
