"""EvalPlus's own check of solutions, once it has the canonical answers; pickled tasks are plain Python values."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from evalplus.eval import untrusted_check
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.gen.util import trusted_exec
from serve import serve, settings

GIVEN = settings()
TASKS = pickle.loads(Path(GIVEN["tasks"]).read_bytes())


def truth(task):
    return [
        trusted_exec(task["reference"], inputs, task["entry_point"], record_time=True, output_not_none=task["entry_point"] in MBPP_OUTPUT_NOT_NONE_TASKS)
        for inputs in task["inputs"]
    ]  # fmt: skip


def check(task, truths):
    found = []
    for inputs, (expected, seconds) in zip(task["inputs"], truths, strict=True):
        status, _ = untrusted_check(
            task["set"], task["solution"], inputs, task["entry_point"], expected, task["atol"], seconds, fast_check=True
        )
        found.append(status == "pass")
    return all(found)


if __name__ == "__main__":
    truths = [truth(task) for task in TASKS]

    def run(_):
        with ProcessPoolExecutor(GIVEN["workers"]) as pool:
            return {"passed": sum(pool.map(check, TASKS, truths))}

    serve(run)
