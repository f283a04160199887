"""Studies: one script each, with its result file; the index is README.md."""
