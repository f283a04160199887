"""The pipeline: `plan.py` says what happens, `run.py` makes it happen once."""
