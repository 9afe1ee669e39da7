"""What the demo's models make of small tasks: bits per byte of the solutions, and what a model writes itself.

Always holds: a model is that of its phase's newest checkpoint, exported as a user would export it.
"""

import math
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamer.documents.toml_text import parse_toml
from training.checkpoints.export import export_checkpoint

SAMPLE_TOKENS = 48


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt and the solution that continues it."""

    prompt: str
    solution: str


class Measured(NamedTuple):
    """Bits per byte of the solutions under a model, and what it writes behind the first prompt."""

    bits_per_byte: float
    sample: str


def load_tasks() -> list[Task]:
    text = files("deploy.demo").joinpath("tasks.toml").read_text("utf-8")
    return msgspec.convert(parse_toml(text)["task"], list[Task])


def measure_phases(root: Path, phases: list[str]) -> list[Measured]:
    """What the model of each phase makes of the tasks."""
    tasks = load_tasks()
    with tempfile.TemporaryDirectory(prefix="phasemix-models-") as folder:
        return [measure(root, root / "checkpoints" / phase, Path(folder) / phase, tasks) for phase in phases]


def measure(root: Path, checkpoints: Path, folder: Path, tasks: list[Task]) -> Measured:
    from training.evaluation.transformers_model import TransformersModel

    export_checkpoint(str(root), checkpoints, folder)
    model = TransformersModel(folder)
    scored = [found for task in tasks if (found := model.score(task.prompt, task.solution)) is not None]
    nats, text_bytes = math.fsum(one.nats for one in scored), sum(one.text_bytes for one in scored)
    sample = tasks[0].prompt + model.write(tasks[0].prompt, (), SAMPLE_TOKENS).text
    return Measured(nats / math.log(2) / text_bytes, sample)
