"""How often a good file scores above another one: the area under the ROC curve."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def wins(good: npt.ArrayLike, other: npt.ArrayLike, weights: Floats | None = None) -> Floats:
    """(good,) of each good file the share of the others that it scores above, ties counting half.

    `weights`: (other,) how much each of the others counts.
    """
    mine, others = np.asarray(good), np.asarray(other)
    order = np.argsort(others, kind="stable")
    weight = np.ones(len(others)) if weights is None else weights
    upto = np.concatenate([[0.0], np.cumsum(weight[order])])
    below, through = (np.searchsorted(others[order], mine, side) for side in ("left", "right"))
    return np.asarray((upto[below] + upto[through]) / (2 * upto[-1]), np.float64)


def roc_auc(good: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """The chance that a good file scores above another one; NaN where there is none of a kind."""
    if not len(np.asarray(good)) or not len(np.asarray(other)):
        return float("nan")
    return float(wins(good, other).mean())
