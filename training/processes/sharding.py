"""Models that ranks divide (FSDP2): what torch makes of their gradients, and the norm to which these are clipped."""

from __future__ import annotations

import torch
from torch import distributed


def gradient_excess(device: torch.device) -> float:
    """What the gradients of divided weights have to be divided by to be the mean over ranks: 1, or the number of ranks.

    Torch 2.7 adds up over gloo where it is asked for the mean, and says nothing. So it is tried. Every rank must ask.
    """
    mean = torch.zeros(1, device=device)
    ones = torch.ones(distributed.get_world_size(), device=device)
    distributed.reduce_scatter_tensor(mean, ones, distributed.ReduceOp.AVG)
    return float(mean)


def reshard(model: torch.nn.Module) -> None:
    """Lets each rank keep its own part alone again, after the model was called without a backward pass."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def clip_gradients(model: torch.nn.Module, norm: float) -> float:
    """Scales all gradients to that norm where theirs is larger. Returns theirs, which is the same on every rank."""
    from torch.distributed.tensor import DTensor

    found = torch.nn.utils.clip_grad_norm_(model.parameters(), norm)
    return float(found.full_tensor() if isinstance(found, DTensor) else found)
