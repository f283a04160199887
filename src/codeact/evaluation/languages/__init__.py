"""Programs of other languages: one file a language says how program and tests become the files that are compiled and run."""

from codeact.evaluation.languages.answers import program, stops
from codeact.evaluation.languages.text import closed, depth
from codeact.evaluation.languages.verdict import as_run, judge

__all__ = ["as_run", "closed", "depth", "judge", "program", "stops"]
