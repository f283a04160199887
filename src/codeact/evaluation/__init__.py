"""Benchmarks: generate, sanitise, execute in a sandbox, score; and bits per byte of the reference solutions."""
