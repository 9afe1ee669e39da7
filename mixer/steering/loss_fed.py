"""A small policy fed by losses: streams that are harder than the rest get more, up to a bound around the mixture's shares.

Source: the update of DoReMi ("DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining"), algorithm 1, with the
mean over streams in place of a reference model's loss; an example, not a recommendation.
"""

import math

from mixer.ledger.ledger import Ledger
from mixer.ledger.reports import Report
from mixer.mixture.plan import shares_of
from mixer.steering.functions import Choice


def choose(
    ledger: Ledger, reports: list[Report], *, rate: float = 0.5, bound: float = 2.0, window: int = 8
) -> Choice | None:
    """Shares in proportion to the mixture's own times exp(rate * (loss - mean loss)), at most `bound` times more or less.

    Args: rate, per nat; window, how many of the last reports count. None while no stream has a loss.
    """
    base = shares_of(ledger.chosen_at(ledger.end))
    sums: dict[str, list[float]] = {}
    for report in reports[-window:]:
        for stream, samples, loss in zip(report.streams, report.samples, report.loss, strict=True):
            if loss is not None and samples and stream in base:
                total = sums.setdefault(stream, [0.0, 0.0])
                total[0] += samples
                total[1] += samples * loss
    losses = {stream: total / samples for stream, (samples, total) in sums.items()}
    if not losses:
        return None
    mean = sum(losses.values()) / len(losses)
    factors = {s: min(bound, max(1 / bound, math.exp(rate * (losses.get(s, mean) - mean)))) for s in base}
    whole = sum(base[stream] * factors[stream] for stream in base)
    shares = {stream: base[stream] * factors[stream] / whole for stream in base}
    hardest = max(losses, key=lambda stream: losses[stream])
    reason = f"{hardest} is hardest, {losses[hardest]:.3f} nats against a mean of {mean:.3f}: share {shares[hardest]:.4f}"
    return Choice(shares=shares, reason=reason)
