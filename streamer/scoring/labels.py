"""Labels: what judges said of documents, kept in a log of the root.

Always holds: a label is an entry's, with the rubric's version, the judge's model and the hash of what it was asked; the same
document is labelled once for each of these and each run.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from streamer.catalog.catalog import Catalog
from streamer.errors import CorpusError
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT = "labels/1"
Key = tuple[str, str, str, int]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge said of a document. `run`: the n-th time that it was asked, from 0; `prompt`: the xxh3-128 of what it was
    asked, in hex; `values`: by criterion.
    """

    rubric: str
    model: str
    document: str
    language: str
    run: int
    prompt: str
    values: dict[str, float]

    @property
    def key(self) -> Key:
        return self.rubric, self.model, self.document, self.run

    @property
    def score(self) -> float:
        """The mean over the criteria, on the rubric's scale."""
        return sum(self.values.values()) / len(self.values)


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far two runs of a judge agree on the documents that both labelled, by their scores.

    `equal`: the share of documents with the same score; `within_one`: with scores at most 1 apart; `kappa`: Cohen's, with
    quadratic weights, of scores rounded to whole numbers: 1 is full agreement, 0 what chance would give.
    """

    documents: int
    equal: float
    within_one: float
    kappa: float


def log_of(name: str) -> str:
    return f"labels/{name}"


def load_labels(catalog: Catalog, name: str) -> list[Label]:
    """All labels by the versions of a rubric. Raises: CorpusError for a format that is not known, LogError."""
    return read_labels(catalog.log(log_of(name)).read())


def read_labels(bodies: Bodies) -> list[Label]:
    found = []
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(CorpusError, f"labels {number}", body["format"], FORMAT)
            columns = body["labels"]
            rows = zip(*(columns[name] for name in ("document", "language", "run", "prompt")), strict=True)
            for place, (document, language, run, prompt) in enumerate(rows):
                values = {name: numbers[place] for name, numbers in body["values"].items()}
                label = Label(
                    rubric=body["rubric"], model=body["model"], document=document, language=language, run=run,
                    prompt=prompt, values=values,
                )  # fmt: skip
                found.append(label)
    return found


def append_labels(catalog: Catalog, name: str, labels: Sequence[Label]) -> int:
    """Keeps those that are not there yet, by one entry; returns how many they were. They are of one rubric and one model."""
    new: list[Label] = []

    def decide(bodies: Bodies) -> Body | None:
        there = {label.key for label in read_labels(bodies)}
        new[:] = {label.key: label for label in labels if label.key not in there}.values()
        if not new:
            return None
        return {
            "format": FORMAT,
            "rubric": new[0].rubric,
            "model": new[0].model,
            "labels": {name: [getattr(label, name) for label in new] for name in ("document", "language", "run", "prompt")},
            "values": {criterion: [label.values[criterion] for label in new] for criterion in new[0].values},
        }

    if labels:
        catalog.log(log_of(name)).append(decide)
    return len(new)


def agreement_of(labels: Iterable[Label]) -> Agreement | None:
    """How far the first two runs agree; None where no document has both."""
    from sklearn.metrics import cohen_kappa_score

    runs: tuple[dict[str, float], dict[str, float]] = {}, {}
    for label in labels:
        if label.run < 2:
            runs[label.run][label.document] = label.score
    both = sorted(runs[0].keys() & runs[1].keys())
    if not both:
        return None
    first, second = (np.array([run[document] for document in both]) for run in runs)
    whole = [scores.round().astype(np.int64) for scores in (first, second)]
    is_constant = len(np.unique(np.concatenate(whole))) == 1
    return Agreement(
        documents=len(both),
        equal=float((first == second).mean()),
        within_one=float((np.abs(first - second) <= 1).mean()),
        kappa=1.0 if is_constant else float(cohen_kappa_score(*whole, weights="quadratic")),
    )
