"""Models that ranks share: brought together again, and what torch makes of the gradients of divided weights (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import distributed


def whole(model: torch.nn.Module, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The model with all its weights on each rank, which may then call it any number of times; `make` builds another."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.fsdp import FSDPModule

    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        inner: torch.nn.Module = model.module  # which does not wait for the other ranks when it is called
        return inner
    if not any(isinstance(module, FSDPModule) for module in model.modules()):
        return model
    found = make()
    found.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    return found


def gradient_excess(device: torch.device) -> float:
    """What the gradients of divided weights have to be divided by to be the mean over ranks: 1, or the number of ranks.

    Torch 2.7 adds up over gloo where it is asked for the mean, and says nothing. So it is tried. Every rank must ask.
    """
    mean = torch.zeros(1, device=device)
    ones = torch.ones(distributed.get_world_size(), device=device)
    distributed.reduce_scatter_tensor(mean, ones, distributed.ReduceOp.AVG)
    return float(mean)
