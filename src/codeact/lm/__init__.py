"""The only room where language models are run.

From a name to a model: `identity` (what the name stands for), `devices` (where, in which dtype), `models` (loading).
From text to tokens: `prompts`.
Packed rows: `attention` and `kernels` keep samples apart; `isolation`, with `activations`, proves it on each model.
Running: `forward` (hidden states, the head in chunks), `streams` (losses of token sequences), `segments` (samples that stop
and go on). Generation has its own batches, in `codeact.evaluation.generate`.
"""
