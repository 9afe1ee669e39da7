"""How fast steps are taken, how much of the devices that uses, and how long steps wait for their batches.

Always holds: a step lasts from its trainer's asking for the batch to the step's end. What comes between steps, such as
checkpoints and evaluations, is not counted.
"""

from __future__ import annotations

import re

import msgspec
import torch

from training.phases import estimate
from training.phases.phase import Numerics, Recipe

# Peak 10^12 operations a second, without sparsity, in bf16, in TF32 and in float32; 0 where a device has no such unit. By
# words of a device's name, which must all be there; the longest counts. Source: the data sheets of NVIDIA and AMD.
PEAKS = {
    "V100": (0, 0, 15.7),
    "V100 PCIE": (0, 0, 14.0),
    "T4": (0, 0, 8.1),
    "A100": (312, 156, 19.5),
    "A800": (312, 156, 19.5),
    "A10": (125, 62.5, 31.2),
    "A10G": (70, 35, 31.5),
    "A30": (165, 82, 10.3),
    "A40": (149.7, 74.8, 37.4),
    "A6000": (154.8, 77.4, 38.7),
    "L4": (121, 60, 30.3),
    "L40": (181, 90.5, 90.5),
    "L40S": (362, 183, 91.6),
    "RTX 3090": (71, 35.6, 35.6),
    "RTX 4090": (165.2, 82.6, 82.6),
    "H100": (989.4, 494.7, 66.9),
    "H100 PCIe": (756, 378, 51),
    "H100 NVL": (835, 417.5, 60),
    "H200": (989.4, 494.7, 66.9),
    "H200 NVL": (835, 417.5, 60),
    "H800": (989.4, 494.7, 66.9),
    "H800 PCIe": (756, 378, 51),
    "GH200": (989.4, 494.7, 66.9),
    "H20": (148, 74, 44),
    "B200": (2250, 1125, 75),
    "MI300X": (1307.4, 653.7, 163.4),
}
# Words of devices with another peak than their namesake, and of parts of one: MIG, and vGPUs such as `GRID A100-10C`.
OTHERS = re.compile(r"ti|super|laptop|max|d|mig|grid|\d+[abcq](me)?")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Of some steps: tokens a second of all ranks, the share of the time that the slowest rank waited for its batch, and the
    model's operations a second over the devices' peak (MFU), None where the peak is not known.
    """

    tokens_per_s: float
    wait_share: float
    mfu: float | None

    def metrics(self) -> dict[str, float]:
        """By the names of the curves."""
        found = {"speed/tokens_per_s": self.tokens_per_s, "speed/wait_share": self.wait_share}
        return found if self.mfu is None else {**found, "speed/mfu": self.mfu}


class Speed:
    """Adds up steps of one training; times in seconds."""

    def __init__(self, recipe: Recipe, *, peak_flops: float | None) -> None:
        """`peak_flops`: of all ranks' devices together."""
        self._tokens = recipe.batch.global_batch * recipe.batch.seq_len
        self._flops, self._peak = estimate.flops_per_token(recipe.model, seq_len=recipe.batch.seq_len), peak_flops
        self._steps, self._took_s, self._waited_s = 0, 0.0, 0.0
        self._last = (0.0, 0.0)

    def add(self, took_s: float, waited_s: float) -> None:
        """Takes in a step."""
        self._steps, self._took_s, self._waited_s = self._steps + 1, self._took_s + took_s, self._waited_s + waited_s
        self._last = (took_s, waited_s)

    def last(self) -> Rates | None:
        """Of the last step alone; None without a step."""
        return self._rates(1, *self._last) if self._steps else None

    def so_far(self) -> Rates | None:
        """Of all steps together; None without a step."""
        return self._rates(self._steps, self._took_s, self._waited_s) if self._steps else None

    def _rates(self, steps: int, took_s: float, waited_s: float) -> Rates:
        tokens_per_s = steps * self._tokens / max(took_s, 1e-9)
        return Rates(
            tokens_per_s=round(tokens_per_s, 1),
            wait_share=round(waited_s / max(took_s, 1e-9), 5),
            mfu=None if self._peak is None else round(tokens_per_s * self._flops / self._peak, 5),
        )


def peak_flops(numerics: Numerics, device: torch.device) -> float | None:
    """The operations a second that a recipe gives its device, else those of a device that is known; None of others."""
    if numerics.peak_flops is not None or device.type != "cuda":
        return numerics.peak_flops
    column = 0 if numerics.precision == "amp_bf16" else 1 if torch.backends.cuda.matmul.allow_tf32 else 2
    return known_peak(torch.cuda.get_device_name(device), column)


def known_peak(name: str, column: int) -> float | None:
    """The peak of the table above for a device's name, as `NVIDIA A100-SXM4-80GB`."""
    words = set(re.findall(r"[a-z0-9]+", name.lower()))
    if any(OTHERS.fullmatch(word) for word in words):
        return None
    fitting = [key for key in PEAKS if words.issuperset(key.lower().split())]
    return PEAKS[max(fitting, key=len)][column] * 1e12 or None if fitting else None
