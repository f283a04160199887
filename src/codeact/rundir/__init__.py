"""The run directory: tables, markers, fingerprints, shards and the ledger. Nothing here knows what a stage does."""
