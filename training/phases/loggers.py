"""Where a training's curves go besides its own files: the `[loggers]` table of a recipe.

Always holds: a logger whose package is missing is refused before anything is written, with the command that installs it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamer.extras import require


class TensorBoard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TensorBoard's event files, in a folder named like the run inside `folder`. `tensorboard = "FOLDER"` is short for this.

    What was logged appears every `flush_steps` steps and at the end of the training.
    """

    folder: str
    flush_steps: int = 20


class WandB(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights & Biases. The key to its service comes from WANDB_API_KEY or `wandb login`, never from a recipe.

    `mode = "offline"` needs no network: the run is written below `folder` (default: the folder of the checkpoints), and
    `wandb sync` sends it later. `name`: what the run is called there (default: the run's own name). `mode`: None leaves the
    choice to WANDB_MODE.
    """

    project: str | None = None
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: list[str] = []
    mode: Literal["online", "offline", "disabled"] | None = None
    folder: str | None = None


class MLflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MLflow. `tracking_uri` is a server's address or a local folder (default: what MLFLOW_TRACKING_URI says).

    `experiment_name`: default what MLFLOW_EXPERIMENT_NAME says; `run_name`: default the run's own name.
    """

    tracking_uri: str | None = None
    experiment_name: str | None = None
    run_name: str | None = None
    tags: dict[str, str] = {}


class Loggers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tools get the curves of a training: the loss and the learning rate of each step, and with each report the loss
    of each stream and its target and realised share. Each tool is an extra of the installation, named like its key.
    """

    tensorboard: TensorBoard | str | None = None
    wandb: WandB | None = None
    mlflow: MLflow | None = None


def check_loggers(loggers: Loggers) -> None:
    """Raises: MissingExtraError when a logger of the recipe is not installed."""
    for name in Loggers.__struct_fields__:
        if getattr(loggers, name) is not None:
            require(f"[loggers] {name} of the recipe", name)
