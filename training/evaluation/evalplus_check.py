"""The program that checks one answer with evalplus or evoeval, run in the sandbox by a Python that has these packages.

It reads the folder's `task.jsonl`, one line of a released file, and `answer.py`, the whole code of an answer; its last line
of output is an object with the verdicts on the `base` and the `plus` inputs, which are the same where a benchmark has only
one kind. What is expected is what the task's own solution gives. A failure that took long is asked for once more with three
times the time, because on a busy machine right answers exceed their limits. It imports nothing of phasemix but the file
beside it, and leaves out what evalplus imports to fetch other data.
"""

import contextlib
import json
import os
import sys
import time
import types
from collections.abc import Callable

CANNOT = 3  # exit code for what is no answer's fault


def main(dataset: str, least_time_s: float) -> None:
    """Args: dataset, "humaneval", "mbpp" or a part of EvoEval; least_time_s, which each input has, or four times the
    solution's time.
    """
    sys.path.insert(0, os.getcwd())
    from training.evaluation.verdict import Verdict

    del sys.path[0]
    verdict = Verdict()
    os.environ["HUMANEVAL_OVERRIDE_PATH"] = os.environ["MBPP_OVERRIDE_PATH"] = "task.jsonl"
    unused = types.ModuleType("datasets")
    unused.load_dataset = None  # type: ignore[attr-defined]
    sys.modules["datasets"] = unused
    try:
        with open("answer.py", encoding="utf-8") as file:
            answer = file.read()
        check_of = prepare_evalplus if dataset in ("humaneval", "mbpp") else prepare_evoeval
        with contextlib.redirect_stdout(None):  # some solutions print much
            kinds, check = check_of(dataset, answer)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(CANNOT)
    verdicts = {}
    for kind in kinds:
        began_s = time.monotonic()
        verdicts[kind] = check(kind, least_time_s)
        if verdicts[kind] != "pass" and time.monotonic() - began_s > least_time_s:
            verdicts[kind] = check(kind, 3 * least_time_s)
    verdict.say(verdicts[kinds[0]], verdicts[kinds[-1]])


def prepare_evalplus(dataset: str, answer: str) -> tuple[list[str], Callable[[str, float], str]]:
    """The kinds of inputs, and what checks the answer on one of them."""
    from evalplus.data.humaneval import get_human_eval_plus
    from evalplus.data.mbpp import get_mbpp_plus
    from evalplus.eval import MBPP_OUTPUT_NOT_NONE_TASKS, untrusted_check
    from evalplus.gen.util import trusted_exec

    (task,) = (get_human_eval_plus if dataset == "humaneval" else get_mbpp_plus)(err_incomplete=False).values()
    name, solution = task["entry_point"], task["prompt"] + task["canonical_solution"]
    not_none = dataset == "mbpp" and name in MBPP_OUTPUT_NOT_NONE_TASKS
    inputs = {kind: task[f"{kind}_input"] for kind in ("base", "plus")}
    expected = {
        kind: trusted_exec(solution, given, name, record_time=True, output_not_none=not_none)
        for kind, given in inputs.items()
    }

    def check(kind: str, least_time_s: float) -> str:
        verdict: str = untrusted_check(
            dataset, answer, inputs[kind], name, expected[kind][0], task["atol"], expected[kind][1],
            fast_check=True, min_time_limit=least_time_s, gt_time_limit_factor=4.0,
        )[0]  # fmt: skip
        return verdict

    return list(inputs), check


def prepare_evoeval(part: str, answer: str) -> tuple[list[str], Callable[[str, float], str]]:
    """As above. Most parts give their inputs as the text of arguments, those of HumanEval's ids as evalplus does."""
    from evalplus.gen.util import trusted_exec
    from evoeval.eval_test import untrusted_check

    with open("task.jsonl", encoding="utf-8") as file:
        task = json.load(file)
    name, solution = task["entry_point"], task["prompt"] + "\n" + task["canonical_solution"]
    if "inputs" in task:
        inputs = {"plus": [eval(f"[{given}]") for given in task["inputs"]]}
    else:
        inputs = {kind: task[f"{kind}_input"] for kind in ("base", "plus")}
    expected = {kind: trusted_exec(solution, given, name, record_time=True) for kind, given in inputs.items()}

    def check(kind: str, least_time_s: float) -> str:
        verdict: str = untrusted_check(
            f"EvoEval_{part}", answer, inputs[kind], name, task["task_id"], expected[kind][0], 0, expected[kind][1],
            fast_check=True, min_time_limit=least_time_s, gt_time_limit_factor=4.0,
        )[0]  # fmt: skip
        return verdict

    return list(inputs), check


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
