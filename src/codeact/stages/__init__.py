"""The stages of a run, one file each: what decides its result beside the work that it does."""
