"""What leaves the pool before selection: broken code, copies, and what the benchmarks ask."""

from codeact.curate.decontaminate import BenchmarkItem
from codeact.curate.run import Decision, curate_records

__all__ = ["BenchmarkItem", "Decision", "curate_records"]
