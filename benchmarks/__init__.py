"""Speed, memory and parity against peers, one script each; the index is README.md."""
