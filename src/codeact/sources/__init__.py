"""Data files to rows: names, bytes, text, tables."""
