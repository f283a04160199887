"""Where the shards of a stage run: in this process, or on a Ray cluster."""
