"""Where a training's curves go besides its own files: the `[loggers]` table of a recipe.

Always holds: a logger whose package is missing is refused before anything is written, with the command that installs it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamer.extras import require


class TensorBoard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TensorBoard's event files, in a folder named like the run inside `folder`. `tensorboard = "FOLDER"` is short for this.

    Attributes:
        folder: Where the folders of runs lie.
        flush_steps: After how many steps what was logged appears; it also does at the end of the training.
    """

    folder: str
    flush_steps: int = 20


class WandB(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights & Biases. The key to its service comes from WANDB_API_KEY or `wandb login`, never from a recipe.

    Attributes:
        project: The project that the run belongs to.
        entity: The team or user that the project belongs to.
        group: The group that the run is shown in.
        name: What the run is called there. Without it, the run's own name.
        tags: Words to find the run by.
        mode: With `offline` no network is needed: the run is written below `folder`, and `wandb sync` sends it later.
            Without it, WANDB_MODE decides.
        folder: Where W&B writes its files. Without it, the folder of the checkpoints.
    """

    project: str | None = None
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: list[str] = []
    mode: Literal["online", "offline", "disabled"] | None = None
    folder: str | None = None


class MLflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MLflow. The password to a server comes from the environment, never from a recipe.

    Attributes:
        tracking_uri: A server's address or a local folder. Without it, MLFLOW_TRACKING_URI decides.
        experiment_name: The experiment that the run belongs to. Without it, MLFLOW_EXPERIMENT_NAME decides.
        run_name: What the run is called there. Without it, the run's own name.
        tags: Names and values to find the run by.
    """

    tracking_uri: str | None = None
    experiment_name: str | None = None
    run_name: str | None = None
    tags: dict[str, str] = {}


class Loggers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tools get the curves of a training: loss, learning rate and speed of each step, with each report the loss, the
    shares and the passes of each stream, and held-out losses. Each tool is an extra of the installation, named like its key.

    Attributes:
        tensorboard: TensorBoard's event files: a table, or the folder alone.
        wandb: Weights & Biases.
        mlflow: MLflow.
    """

    tensorboard: TensorBoard | str | None = None
    wandb: WandB | None = None
    mlflow: MLflow | None = None


def check_loggers(loggers: Loggers) -> None:
    """Raises: MissingExtraError when a logger of the recipe is not installed."""
    for name in Loggers.__struct_fields__:
        if getattr(loggers, name) is not None:
            require(f"[loggers] {name} of the recipe", name)
