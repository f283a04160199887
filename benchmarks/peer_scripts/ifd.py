"""data-juicer's own operator `instruction_following_difficulty_filter` over one group of records a turn."""

import json
from pathlib import Path

from data_juicer.ops.filter.instruction_following_difficulty_filter import InstructionFollowingDifficultyFilter
from data_juicer.utils.constant import Fields, StatsKeys
from serve import serve, settings

GIVEN = settings()
GROUPS = json.loads(Path(GIVEN["groups"]).read_text(encoding="utf-8"))
OPERATOR = InstructionFollowingDifficultyFilter(hf_model=GIVEN["model"], model_params={"torch_dtype": GIVEN["dtype"]})
# its tokenizer asks `model_params` for the limit; given before, the model would be loaded with it, which fails
OPERATOR.model_params = {**OPERATOR.model_params, "max_length": GIVEN["max_length"]}


def run(number):
    found = []
    for question, answer in GROUPS[number]:
        sample = {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], Fields.stats: {}}
        found.append(float(OPERATOR.compute_stats_single(sample)[Fields.stats][StatsKeys.ifd_score]))
    return {"values": found}


run(0)  # loads the model
serve(run)
