"""The gate that runs a written file, where its recipe asks for that.

Always holds: nothing is run but Python of a recipe with `execute_s`, and that in a sandbox alone; a file passes when it ends
by itself, with exit code 0, within that time.
"""

import sys
from collections.abc import Iterable

from generators.errors import RecipeError
from generators.queue.job import Job, Reason, Verdict
from generators.recipes.recipe import Recipe
from streamer.errors import SandboxError
from streamer.sandbox.outcome import Limits
from streamer.sandbox.sandbox import Sandbox, find_way
from streamer.wording import one_line

EXECUTED = "python"
MOST_SAID = 200  # characters of what a file said last


def check_execution(recipes: Iterable[Recipe]) -> None:
    """Raises: RecipeError when one of these has its files executed and no sandbox can be made here."""
    executed = [recipe for recipe in recipes if recipe.share and recipe.execute_s is not None]
    try:
        if executed:
            find_way()
    except SandboxError as error:
        label = executed[0].label
        raise RecipeError(
            f"recipe {label} has its files executed (execute_s), and {error}; or leave execute_s out"
        ) from error


def execute(job: Job, verdict: Verdict) -> Verdict:
    """The verdict on an accepted file after it was run, if its job wants that. Raises: SandboxError when it cannot be."""
    if verdict.text is None or job.execute_s is None or job.language != EXECUTED:
        return verdict
    sandbox = Sandbox(Limits(wall_s=job.execute_s, cpu_s=job.execute_s))
    outcome = sandbox.run([sys.executable, "-I", "file.py"], files={"file.py": verdict.text})
    if outcome.succeeded:
        return verdict
    lines = outcome.stderr.decode("utf-8", "replace").strip().splitlines()
    values: dict[str, float | str] = {"end": str(outcome.end), "said": one_line(lines[-1])[:MOST_SAID] if lines else ""}
    values |= {name: number for name in ("exit_code", "signal") if (number := getattr(outcome, name)) is not None}
    return Verdict(reason=Reason.DOES_NOT_RUN, values=values)
