"""The program that checks one answer with evalplus, run in the sandbox by a Python that has that package.

It reads the folder's `task.jsonl`, one line of a released file, and `answer.py`, the whole code of an answer; its last line
of output is an object with evalplus's verdicts on the `base` and the `plus` inputs. What is expected is what the task's own
solution gives. It imports nothing of phasemix, and leaves out what evalplus imports to fetch other data.
"""

import json
import os
import sys
import types

CANNOT = 3  # exit code for what is no answer's fault


def main(dataset: str, least_time_s: float) -> None:
    """Args: dataset, "humaneval" or "mbpp"; least_time_s, which each input has, or four times the solution's time."""
    os.environ["HUMANEVAL_OVERRIDE_PATH"] = os.environ["MBPP_OVERRIDE_PATH"] = "task.jsonl"
    unused = types.ModuleType("datasets")
    unused.load_dataset = None  # type: ignore[attr-defined]
    sys.modules["datasets"] = unused
    try:
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
        with open("answer.py", encoding="utf-8") as file:
            answer = file.read()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(CANNOT)
    verdicts = {
        kind: untrusted_check(
            dataset, answer, given, name, expected[kind][0], task["atol"], expected[kind][1],
            fast_check=True, min_time_limit=least_time_s, gt_time_limit_factor=4.0,
        )[0]
        for kind, given in inputs.items()
    }  # fmt: skip
    print("\n" + json.dumps(verdicts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
