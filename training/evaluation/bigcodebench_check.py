"""The program that checks one answer with bigcodebench, run in the sandbox by a Python that has this package.

It reads the folder's `task.jsonl`, one line of a released file, and `answer.py`, the whole code of an answer; its last line
of output is an object with the verdict of the task's unit tests. It imports nothing of phasemix but the file beside it. The
package's own limits are left out, because the sandbox has some.
"""

import ast
import importlib.util
import json
import os
import sys

CANNOT, LACKS = 3, 4  # exit codes for what is no answer's fault
TIME_S = 20.0  # bigcodebench gives so much to a task whose reference solution was not timed


def main() -> None:
    sys.path.insert(0, os.getcwd())
    from training.evaluation.verdict import Verdict

    del sys.path[0]
    verdict = Verdict()
    try:
        with open("task.jsonl", encoding="utf-8") as file:
            task = json.load(file)
        with open("answer.py", encoding="utf-8") as file:
            answer = file.read()
        for library in ast.literal_eval(task["libs"]):
            if importlib.util.find_spec(library.partition(".")[0]) is None:
                print(f"{library} is not installed", file=sys.stderr)
                sys.exit(LACKS)
        from bigcodebench.eval import untrusted_check
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(CANNOT)
    os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))  # some call `python`
    code = f"{task['code_prompt']}\n    pass\n{answer}"  # bigcodebench calibrates answers so
    found, _ = untrusted_check(code, task["test"], task["entry_point"], 0, 0, 0, 1.0, TIME_S)
    verdict.say(found, found)


if __name__ == "__main__":
    main()
