"""The floor of quality: what an annotator says of a file, against the score that its recipe asks for.

Always holds: a file whose recipe names no annotator is not scored; an annotator is loaded once in a process.
"""

from collections.abc import Callable

from generators.queue.job import Reason, Verdict
from generators.recipes.limits import Limits
from streamer.catalog.catalog import Catalog


class Floors:
    """The annotators of a root that were asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._scores: dict[str, Callable[[str], float]] = {}

    def load(self, limits: Limits) -> None:
        """Loads the annotator that limits name, if they do. Raises: CorpusError when that cannot be done here."""
        if limits.annotator and limits.annotator not in self._scores:
            from streamer.scoring.trained import load_scorer

            self._scores[limits.annotator] = load_scorer(self._catalog, limits.annotator)

    def judge(self, text: str, limits: Limits) -> Verdict:
        """Refuses a file below the floor as `low_score`. Raises: CorpusError as `load` does."""
        self.load(limits)
        if not limits.annotator:
            return Verdict(text=text)
        score = self._scores[limits.annotator](text)
        values = {"score": round(score, 4), "least_score": limits.least_score}
        return Verdict(text=text, reason=Reason.LOW_SCORE if score < limits.least_score else None, values={**values})
