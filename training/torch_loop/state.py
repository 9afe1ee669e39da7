"""What a checkpoint of this trainer holds, and how a training goes on from it.

Always holds: a file has the whole model and optimizer by the parameters' names, whichever ranks wrote it, so that any number
of ranks goes on from it; random states are those of each rank, and count only for as many ranks.
"""

from __future__ import annotations

from typing import Any

import torch

from training.errors import CheckpointError
from training.processes import ranks

FORMAT = "torch-state/1"


def collect(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, *, position: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """What a checkpoint holds; whole on the first rank. Every rank must call this.

    Args: position, of the loader, which is kept where Composer keeps it; more, plain values to keep beside.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    weights, moments = get_state_dict(model, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    own = {"model": weights, "dataset_state": {"train": position}}
    rest = {"optimizer": moments, "rng": ranks.gather(random_state()), **more}
    return {"trainer": "torch", "format": FORMAT, "state": own, **rest}


def check_format(found: dict[str, Any], checkpoint: str) -> None:
    """Raises: CheckpointError for a checkpoint that another version of this trainer wrote."""
    if found.get("trainer") == "torch" and found.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {checkpoint} has the format {found.get('format')}, but this version of phasemix reads {FORMAT}; go "
            "on with the version that wrote it"
        )


def load_weights(model: torch.nn.Module, found: dict[str, Any]) -> None:
    """Gives a model the weights of a checkpoint of any trainer."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(model, found["state"]["model"], options=StateDictOptions(full_state_dict=True))


def load(model: torch.nn.Module, optimizer: torch.optim.Optimizer, found: dict[str, Any], *, seed: int) -> None:
    """Gives model, optimizer and this process's random generators what `save` wrote."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    load_weights(model, found)
    set_optimizer_state_dict(model, optimizer, found["optimizer"], options=StateDictOptions(full_state_dict=True))
    if len(found["rng"]) == ranks.world_size():
        restore_random_state(found["rng"][ranks.rank()])
    else:
        torch.manual_seed(seed + found["step"] * ranks.world_size() + ranks.rank())


def random_state() -> dict[str, torch.Tensor]:
    """The state of this process's generators that a model draws from."""
    found = {"cpu": torch.get_rng_state()}
    return {**found, "cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else found


def restore_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
