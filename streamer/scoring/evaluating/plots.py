"""Pictures of how annotators tell solutions from documents: ROC curves and histograms of scores, as SVG.

Always holds: the same scores give the same bytes, whatever a user has set for matplotlib; names are shown as they are and
never read as formulas or markup.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamer.scoring.evaluating.benchmarks import Judged
from streamer.scoring.evaluating.evaluation import Figures, Scored
from streamer.scoring.roc import Floats

BINS, COLUMNS = 40, 3
PANEL_INCHES = (4.2, 3.4)
LINES = ("solid", "dashdot", "dotted")  # dashed is length alone
COLOURS = ("#3b6fd4", "#d9822b", "#2a9d78", "#c2477f", "#8a63c9", "#b0911c")
SETTINGS = {"svg.hashsalt": "phasemix", "svg.fonttype": "none", "text.parse_math": False}
UNDATED = {"Date": None, "Creator": None, "Format": None, "Type": None}


class Panel(NamedTuple):
    """A set within a language, None for all: what its picture compares."""

    set: str
    language: str | None

    @property
    def title(self) -> str:
        return f"{shown(self.set)}, {shown(self.language) if self.language else 'all languages'}"


def shown(name: str) -> str:
    """A name as a picture or page can hold it: a space in place of what cannot be printed."""
    return "".join(sign if sign.isprintable() else " " for sign in name)


def panels(judged: Judged, name: str) -> list[Panel]:
    """Of a set: all languages, and each one, unless its solutions and the documents are of one language alone."""
    languages = [one.language for one in judged.figures if one.set == name and one.language]
    both = {*judged.solutions[name].languages.tolist(), *judged.documents.languages.tolist()}
    return [Panel(name, None), *(Panel(name, language) for language in languages if len(both) > 1)]


def compared(judged: Judged, panel: Panel) -> tuple[Scored, Scored]:
    """The solutions and the documents that the figures of a panel are of."""
    solutions = judged.solutions[panel.set]
    if panel.language is None:
        return solutions, judged.documents
    return solutions.of(panel.language), judged.by_language[panel.language]


def roc_curve(good: npt.ArrayLike, other: npt.ArrayLike) -> tuple[Floats, Floats]:
    """For each limit the share of others, and of good files, that score at least it; from (0, 0) to (1, 1)."""
    mine, others = np.sort(np.asarray(good, np.float64)), np.sort(np.asarray(other, np.float64))
    limits = np.unique(np.concatenate([mine, others]))[::-1]
    right, up = (
        np.concatenate([[0.0], 1 - np.searchsorted(found, limits, "left") / len(found)]) for found in (others, mine)
    )
    return right, up


def draw_curves(found: Sequence[Judged], name: str) -> bytes:
    """A set's ROC curves: a line for each annotator and a dashed one for length alone, in a panel for each language."""

    def draw(axes: Any, panel: Panel) -> None:
        for place, judged in enumerate(found):
            solutions, documents = compared(judged, panel)
            axes.plot(
                *roc_curve(solutions.scores, documents.scores),
                label=f"{judged.annotator.label} {figures_of(judged, panel).auc:.3f}",
                color=COLOURS[place % len(COLOURS)],
                linestyle=LINES[place // len(COLOURS) % len(LINES)],
            )
        solutions, documents = compared(found[0], panel)
        right, up = roc_curve(-solutions.lengths, -documents.lengths)
        if np.trapezoid(up, right) < 0.5:
            right, up = roc_curve(solutions.lengths, documents.lengths)
        by_length = figures_of(found[0], panel).by_length
        axes.plot(right, up, label=f"length alone {by_length:.3f}", color="#555555", linestyle="dashed")
        axes.set(xlabel="share of documents", ylabel="share of solutions", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.legend(title="area under the curve", loc="lower right", fontsize="small", title_fontsize="small")

    return draw_panels(f"ROC curves of {shown(name)}", panels(found[0], name), draw)


def draw_histograms(judged: Judged) -> bytes:
    """The shares of solutions and of documents by their scores, in a panel for each set and language."""
    bounds = bin_edges(judged)

    def draw(axes: Any, panel: Panel) -> None:
        solutions, documents = compared(judged, panel)
        for kind, scored, colour, style in (
            ("documents", documents, COLOURS[1], {"histtype": "stepfilled", "alpha": 0.35}),
            ("solutions", solutions, COLOURS[0], {"histtype": "step", "linewidth": 1.6}),
        ):
            weights = np.full(len(scored.scores), 1 / len(scored.scores))
            axes.hist(scored.scores, bounds, weights=weights, label=f"{len(weights):,} {kind}", color=colour, **style)
        axes.set(xlabel="score", ylabel="share of the files", xlim=(bounds[0], bounds[-1]))
        axes.legend(loc="upper center", fontsize="small")

    every = [panel for name in judged.solutions for panel in panels(judged, name)]
    return draw_panels(f"Scores by {judged.annotator.label}", every, draw)


def bin_edges(judged: Judged) -> Floats:
    """(BINS + 1,) bounds that hold all scores: 0 to 1 of a logistic head, else from the lowest to the highest."""
    if judged.annotator.recipe.head == "logistic":
        return np.linspace(0, 1, BINS + 1)
    every = np.concatenate(
        [one.scores for one in (*judged.solutions.values(), *judged.by_language.values(), judged.documents)]
    )
    return np.histogram_bin_edges(every, BINS)


def figures_of(judged: Judged, panel: Panel) -> Figures:
    return next(one for one in judged.figures if (one.set, one.language) == panel)


def draw_panels(title: str, every: Sequence[Panel], draw: Callable[[Any, Panel], None]) -> bytes:
    """An SVG with a grid of panels."""
    from matplotlib.figure import Figure

    with settled():
        columns, rows = min(COLUMNS, len(every)), -(-len(every) // COLUMNS)
        figure = Figure((PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows), layout="constrained")
        for place, panel in enumerate(every):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.set_title(panel.title, fontsize="medium")
            draw(axes, panel)
        target = io.BytesIO()
        figure.savefig(target, format="svg", metadata={"Title": title, **UNDATED})
    return target.getvalue()


@contextmanager
def settled() -> Iterator[None]:
    """matplotlib as it comes, without a user's settings, and without its word on signs that its own font lacks."""
    from matplotlib import style

    with style.context(["default", SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        yield
