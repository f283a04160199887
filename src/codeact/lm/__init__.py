"""Language models: loading (`models`), templates (`prompts`), packed attention and its proof, and forward passes."""
