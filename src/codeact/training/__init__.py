"""Fine-tuning: `data` (records -> samples), `losses` (cross entropy in chunks), `trainer` (the loop), `metrics`, `sft` (the whole).

`losses` and `trainer` import torch at the top, since they subclass its classes; everything else imports them inside functions.
"""
