"""Rates of steps: tokens a second, waiting, and utilisation where the devices' peak is known."""

import pytest
import torch

from training.measures.progress import Progress
from training.measures.speed import Rates, Speed, known_peak, peak_flops
from training.phases.estimate import flops_per_token
from training.phases.phase import Numerics, load_recipe
from training.phases.recipe_file import read_recipe

LAPTOP = load_recipe(read_recipe("laptop")[1], name="laptop", phase="general", overrides=[])
TOKENS = LAPTOP.batch.global_batch * LAPTOP.batch.seq_len


def test_a_step_has_its_own_rates_and_all_have_theirs_together() -> None:
    flops = TOKENS * flops_per_token(LAPTOP.model, seq_len=LAPTOP.batch.seq_len)
    speed = Speed(LAPTOP, peak_flops=10 * flops)
    assert speed.last() is None
    assert speed.so_far() is None
    speed.add(2.0, 1.0)
    assert speed.last() == speed.so_far() == Rates(tokens_per_s=TOKENS / 2, wait_share=0.5, mfu=0.05)
    speed.add(6.0, 0.0)
    assert speed.last() == Rates(tokens_per_s=round(TOKENS / 6, 1), wait_share=0.0, mfu=0.01667)
    assert speed.so_far() == Rates(tokens_per_s=TOKENS / 4, wait_share=0.125, mfu=0.025)


def test_without_a_known_peak_there_is_no_utilisation() -> None:
    speed = Speed(LAPTOP, peak_flops=None)
    speed.add(1.0, 0.0)
    rates = speed.last()
    assert rates is not None
    assert rates.mfu is None
    assert rates.metrics() == {"speed/tokens_per_s": TOKENS, "speed/wait_share": 0.0}
    assert peak_flops(Numerics(), torch.device("cpu")) is None
    assert peak_flops(Numerics(peak_flops=5e11), torch.device("cpu")) == 5e11


@pytest.mark.parametrize(
    ("name", "bf16", "tf32", "fp32"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12, 156e12, 19.5e12),
        ("NVIDIA A10", 125e12, 62.5e12, 31.2e12),
        ("NVIDIA H100 80GB HBM3", 989.4e12, 494.7e12, 66.9e12),
        ("NVIDIA H100 PCIe", 756e12, 378e12, 51e12),
        ("Tesla V100-SXM2-16GB", None, None, 15.7e12),
        ("Tesla V100-PCIE-32GB", None, None, 14.0e12),
        ("NVIDIA GeForce RTX 3090", 71e12, 35.6e12, 35.6e12),
        ("NVIDIA GeForce RTX 3090 Ti", None, None, None),
        ("NVIDIA GeForce RTX 4090", 165.2e12, 82.6e12, 82.6e12),
        ("NVIDIA GeForce RTX 4090 D", None, None, None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, None, None),
        ("GRID A100-10C", None, None, None),
        ("NVIDIA A40-8Q", None, None, None),
        ("NVIDIA A100-1-5CME", None, None, None),
        ("Some Other Device", None, None, None),
    ],
)
def test_a_device_is_known_by_the_words_of_its_name(
    name: str, bf16: float | None, tf32: float | None, fp32: float | None
) -> None:
    assert [known_peak(name, column) for column in range(3)] == [
        pytest.approx(bf16),
        pytest.approx(tf32),
        pytest.approx(fp32),
    ]


def test_a_line_says_what_is_known_and_what_is_worth_saying() -> None:
    progress = Progress(num_steps=20, start_step=10, now=0.0)
    assert progress.is_due(12, 4.0)
    line = progress.line(12, 2.5, Rates(tokens_per_s=8000.4, wait_share=0.004, mfu=None), 4.0)
    assert line == "step 12/20  loss 2.5000  8,000 tokens/s  16 s left"
    assert not progress.is_due(13, 5.0)
    assert progress.is_due(20, 5.0)
    line = progress.line(14, 2.5, Rates(tokens_per_s=8000.4, wait_share=0.2, mfu=0.4123), 8.0)
    assert line == "step 14/20  loss 2.5000  8,000 tokens/s  MFU 41.2%  20% waiting for batches  12 s left"
