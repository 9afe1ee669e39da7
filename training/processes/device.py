"""On which device a rank computes."""

from __future__ import annotations

import torch

from training.errors import RecipeError


def choose_device(asked: str | None, local_rank: int) -> torch.device:
    """The device of a recipe's `numerics.device`; without one CUDA where it is there. Raises: RecipeError."""
    has_cuda = torch.cuda.is_available()
    if asked == "gpu" and not has_cuda:
        raise RecipeError(
            'numerics.device is "gpu", but PyTorch finds no GPU that it can use here; see what nvidia-smi says, or train on '
            "the CPU with --set numerics.device=cpu"
        )
    is_gpu = has_cuda if asked is None else asked == "gpu"
    return torch.device("cuda", local_rank) if is_gpu else torch.device("cpu")
