"""Which processes and which device a training has, and how its model is spread over them: the one place that decides.

Always holds: a training of one process on the CPU needs no process group.

How: `torchrun` and Composer's launcher say by environment variables which rank a process is. On CUDA several ranks keep a
part of the weights, gradients and optimizer state each (FSDP2, `fully_shard`); on the CPU each has all of them (DDP).
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from training.phases.job import Job
from training.phases.phase import Numerics
from training.processes.device import choose_device


def join_world(job: Job) -> torch.device:
    """This process's device, behind the meeting of all ranks where there are several."""
    numerics = job.recipe.numerics
    device = choose_device(numerics.device, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(seconds=max(300.0, job.wait_s + 60.0)))
    if numerics.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    return device


def spread(
    model: torch.nn.Module, layers: list[torch.nn.Module], device: torch.device, numerics: Numerics
) -> torch.nn.Module:
    """The model on the device, as the ranks share it. `layers`: parts that are brought together one after the other."""
    model.to(device)
    if not distributed.is_initialized():
        return model
    if numerics.is_sharded(by="torch", on_gpu=device.type == "cuda"):
        return shard(model, layers, device, numerics)
    return torch.nn.parallel.DistributedDataParallel(model)


def shard(
    model: torch.nn.Module, layers: list[torch.nn.Module], device: torch.device, numerics: Numerics
) -> torch.nn.Module:
    """The same model, its weights divided among the ranks."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    dtype = torch.bfloat16 if numerics.precision == "amp_bf16" else None
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (distributed.get_world_size(),)),
        "mp_policy": MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32),
    }
    for part in (*layers, model):
        fully_shard(part, **options)
    return model


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether each rank keeps a part of the weights."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)
