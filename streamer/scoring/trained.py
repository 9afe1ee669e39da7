"""Annotators of a root: trained by a recipe, kept as versions, and applied to texts.

Always holds: a version never changes, and says by which recipe, embedder (its files' fingerprint) and texts it was trained;
training again on the same gives the same version; a text is scored by what embeds as the version's embedder did, or not at
all.
"""

import base64
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.errors import CorpusError
from streamer.extras import require
from streamer.packing.grouping import random_key
from streamer.scoring import annotator
from streamer.scoring.annotator import NGRAMS, Embed, Features, apply_head, embed_files, fit_head
from streamer.scoring.annotator_recipe import AnnotatorRecipe
from streamer.scoring.labels import load_labels
from streamer.scoring.positives import Draw, Text, read_files, read_streams
from streamer.scoring.roc import roc_auc
from streamer.scoring.student import hash_ngrams, rank_correlation
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

LOG, FORMAT = "annotators", "annotator/2"
MODEL_FILES = (".json", ".safetensors", ".bin", ".txt")
NUM_FOLDS, RIDGE = 5, 1.0
BATCH_FILES = 256  # whose sections are sorted by length and embedded together
FEW_REPOSITORIES = 3
VERSION = re.compile(r"([a-z0-9][a-z0-9-]*)(?:@([0-9]{1,9}))?")
Progress = Callable[[int, int], None]
Scores = npt.NDArray[np.float64]


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an annotator.

    `embedder`: name, and `fingerprint`, of its files; `weights` (dimensions,) float32 and `bias`: the head; `good`, `other`:
    how many texts of each it learned from (a ridge has labelled ones alone, as `good`), `languages` of the good ones;
    `digest`: of the texts; `seen`: hashes of all of them; `figure`: ROC-AUC of a logistic head, rank correlation of a ridge,
    each text scored by a head that had not seen it.
    """

    name: str
    version: int
    recipe: AnnotatorRecipe
    embedder: str
    fingerprint: str
    weights: npt.NDArray[np.float32]
    bias: float
    good: int
    other: int
    languages: dict[str, int]
    digest: str
    seen: npt.NDArray[np.uint64]
    figure: float

    @property
    def label(self) -> str:
        """As scores and streams name it."""
        return f"{self.name}@{self.version}"


class Embedder(NamedTuple):
    """What turns sections into rows of numbers. `tokenizer`: its model's tokenizer.json, where it has one."""

    embed: Embed
    name: str
    fingerprint: str
    tokenizer: str | None = None


class Sample(NamedTuple):
    """Texts to learn from, with a label each, and what people should know of them."""

    texts: list[Text]
    labels: Scores
    warnings: list[str]


def load_embedder(recipe: AnnotatorRecipe) -> Embedder:
    """Raises: CorpusError when the model is not here or cannot be loaded, MissingExtraError."""
    if recipe.embedder == NGRAMS:
        require("an annotator", "corpus")
        return Embedder(hash_ngrams, NGRAMS, NGRAMS)
    folder, name = annotator.resolve_model(recipe.embedder)
    embed = annotator.load_model(folder, section_tokens=recipe.section_tokens, precision=recipe.precision)
    tokenizer = Path(folder) / "tokenizer.json"
    text = tokenizer.read_text("utf-8") if tokenizer.exists() else None
    return Embedder(embed, name, fingerprint_of(Path(folder)), text)


def fingerprint_of(folder: Path) -> str:
    """Of a model's files, by their names and bytes."""
    digest = xxhash.xxh3_128()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in MODEL_FILES):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()


def embed(
    texts: Sequence[str], embedder: Embedder, recipe: AnnotatorRecipe, progress: Progress = lambda *_: None
) -> Features:
    """The sections of texts as rows. `progress` gets texts done and texts in all."""
    return embed_files(
        texts, embedder.embed, section_tokens=recipe.section_tokens, sections=recipe.sections, progress=progress,
        batch_files=BATCH_FILES,
    )  # fmt: skip


def gather(catalog: Catalog, recipe: AnnotatorRecipe) -> Sample:
    """The texts that a recipe learns from. Raises: CorpusError when they are too few, StreamError, PartError."""
    return gather_labelled(catalog, recipe) if recipe.head == "ridge" else gather_good(catalog, recipe)


def gather_good(catalog: Catalog, recipe: AnnotatorRecipe) -> Sample:
    """Good texts, then random documents that are none of them."""
    good: dict[int, Text] = {}
    for number, kind in enumerate(recipe.positives):
        drawn = Draw(kind.most)
        for one in chain(read_files(kind.files), read_streams(catalog, kind.streams) if kind.streams else ()):
            if one.text.strip():
                drawn.add(random_key(recipe.seed, f"good {number}", one.text), one)
        good |= {hash_of(one.text): one for one in drawn.sorted().values()}
    drawn = Draw(recipe.files)
    for one in read_streams(catalog, recipe.negatives):
        if hash_of(one.text) not in good:
            drawn.add(random_key(recipe.seed, "other", one.text), one)
    other = list(drawn.sorted().values())
    if min(len(good), len(other)) < 2:
        raise CorpusError(
            f"annotator {recipe.name} has {len(good)} good texts and {len(other)} random documents, and needs 2 of each; "
            "correct its positives or negatives"
        )
    repositories = {one.repository for one in good.values() if one.repository}
    said = []
    if repositories and len(repositories) < FEW_REPOSITORIES:
        said.append(
            f"the positives that name a repository are of {len(repositories)} alone ({', '.join(sorted(repositories))}): "
            "the annotator may learn to tell that"
        )
    spoken = Counter(one.language for one in good.values() if one.language)
    if len(spoken) == 1 and len({one.language for one in other}) > 1:
        said.append(f"the positives are of {next(iter(spoken))} alone: scores of other languages may say little")
    labels = np.repeat([1.0, 0.0], [len(good), len(other)])
    return Sample([*good.values(), *other], labels, said)


def gather_labelled(catalog: Catalog, recipe: AnnotatorRecipe) -> Sample:
    """Labelled documents, with the mean of their labels' scores."""
    assert recipe.labels is not None
    scores: dict[str, list[float]] = {}
    labels = load_labels(catalog, recipe.labels)
    newest = max((label.rubric for label in labels), key=lambda rubric: int(rubric.rpartition("/")[2]), default="")
    for label in labels:
        if label.rubric == newest:
            scores.setdefault(label.document, []).append(label.score)
    chosen = set(sorted(scores, key=lambda document: random_key(recipe.seed, "label", document))[: recipe.files])
    found = {
        one.document: Text(one.path, one.text, one.language, one.repository)
        for snapshot in catalog.match(recipe.negatives)
        if snapshot.kind == "documents"
        for one in catalog.documents(snapshot.name)
        if one.document in chosen
    }
    if len(found) < NUM_FOLDS:
        raise CorpusError(
            f"annotator {recipe.name} has {len(found)} labelled documents and needs {NUM_FOLDS}; label more with "
            f"phasemix annotator judge {recipe.labels}"
        )
    ids = sorted(found)
    return Sample([found[one] for one in ids], np.array([np.mean(scores[one]) for one in ids]), [])


def train(catalog: Catalog, recipe: AnnotatorRecipe, sample: Sample, progress: Progress = lambda *_: None) -> Trained:
    """Trains a head on a sample and keeps it as a version, unless one is the same. Raises: CorpusError."""
    embedder = load_embedder(recipe)
    return keep(catalog, fit_sample(recipe, sample, embedder, progress)[0])


def fit_sample(
    recipe: AnnotatorRecipe, sample: Sample, embedder: Embedder, progress: Progress = lambda *_: None
) -> tuple[Body, Scores]:
    """A version as an entry of its log, and of each text what heads that had not seen it say."""
    texts = [one.text for one in sample.texts]
    features = embed(texts, embedder, recipe, progress)
    weights, bias, unseen = fit(features, sample.labels, recipe.head)
    good = sample.labels > 0 if recipe.head == "logistic" else np.ones(len(texts), bool)
    seen = np.array(sorted({hash_of(text) for text in texts}), np.uint64)
    languages = Counter(one.language or "unknown" for one, is_good in zip(sample.texts, good, strict=True) if is_good)
    figure = roc_auc(unseen[good], unseen[~good]) if recipe.head == "logistic" else rank_correlation(unseen, sample.labels)
    body: Body = {
        "format": FORMAT,
        "recipe": msgspec.to_builtins(recipe),
        "embedder": embedder.name,
        "fingerprint": embedder.fingerprint,
        "weights": base64.b64encode(weights.astype("<f4").tobytes()).decode(),
        "bias": bias,
        "good": int(good.sum()),
        "other": int((~good).sum()),
        "languages": dict(sorted(languages.items())),
        "digest": xxhash.xxh3_128_hexdigest(seen.tobytes() + sample.labels.tobytes()),
        "seen": base64.b64encode(seen.astype("<u8").tobytes()).decode(),
        "figure": round(figure, 6),
    }
    return msgspec.json.decode(msgspec.json.encode(body)), unseen  # as a log gives it back


def keep(catalog: Catalog, body: Body) -> Trained:
    """Keeps a version, unless one is the same; returns it with its number."""

    def decide(bodies: Bodies) -> Body | None:
        return None if body in bodies else body

    name = body["recipe"]["name"]
    log = catalog.log(f"{LOG}/{name}")
    catalog.register("annotators", name)
    log.append(decide)
    return load(catalog, f"{name}@{list(log.read()).index(body) + 1}")


def fit(features: Features, labels: Scores, head: str) -> tuple[npt.NDArray[np.float32], float, Scores]:
    """Weights and bias of a head, and what heads that had not seen a text say of it."""
    make = fit_head if head == "logistic" else fit_ridge
    apply = apply_head if head == "logistic" else apply_ridge
    places = np.empty(features.files, np.int64)
    for label in np.unique(labels > 0) if head == "logistic" else [None]:
        mine = np.flatnonzero((labels > 0) == label) if label is not None else np.arange(features.files)
        places[mine] = np.arange(len(mine)) % NUM_FOLDS  # both kinds in every fold
    unseen = np.zeros(features.files)
    for fold in np.unique(places):
        inside = places[features.owner] != fold
        weights, bias = make(features.rows[inside], labels[features.owner[inside]])
        unseen[places == fold] = apply(features, weights, bias)[places == fold]
    weights, bias = make(features.rows, labels[features.owner])
    return weights.astype(np.float32), bias, unseen


def fit_ridge(rows: Any, labels: Scores) -> tuple[npt.NDArray[np.float64], float]:
    """Weights (dimensions,) and bias of a ridge regression."""
    from sklearn.linear_model import Ridge

    found = Ridge(alpha=RIDGE).fit(rows, labels)
    return np.asarray(found.coef_, np.float64).ravel(), float(found.intercept_)


def apply_ridge(features: Features, weights: npt.NDArray[np.float64], bias: float) -> Scores:
    """(files,) mean over each file's sections."""
    values = np.asarray(features.rows @ weights).ravel() + bias
    sums = np.bincount(features.owner, weights=values, minlength=features.files)
    return np.asarray(sums / np.maximum(1, np.bincount(features.owner, minlength=features.files)), np.float64)


def score(
    trained: Trained, texts: Sequence[str], progress: Progress = lambda *_: None, *, embedder: Embedder | None = None
) -> Scores:
    """(texts,) scores: of a logistic head between 0 and 1, of a ridge on its rubric's scale.

    Args: embedder, what `load_embedder` gave for the annotator, where it is at hand.
    Raises: CorpusError when the embedder is not here or is another one.
    """
    return score_alike([trained], texts, progress, embedder=embedder)[0]


def score_alike(
    alike: Sequence[Trained], texts: Sequence[str], progress: Progress = lambda *_: None, *, embedder: Embedder | None = None
) -> list[Scores]:
    """`score` by each of several annotators that read texts alike (`reading_of`): the texts are embedded once."""
    recipe = alike[0].recipe
    embedder = embedder or load_embedder(recipe)
    for trained in alike:
        if embedder.fingerprint != trained.fingerprint:
            raise CorpusError(
                f"annotator {trained.label} was trained on {trained.embedder} with fingerprint {trained.fingerprint}; here "
                f"it is {embedder.name} with {embedder.fingerprint}. Give the model that it was trained on or train it again"
            )
    if not texts:
        return [np.zeros(0) for _ in alike]
    features = embed(texts, embedder, recipe, progress)
    found = []
    for trained in alike:
        if features.rows.shape[1] != len(trained.weights):
            raise CorpusError(
                f"{embedder.name} gives {features.rows.shape[1]} numbers and annotator {trained.label} weighs "
                f"{len(trained.weights)}; train it again"
            )
        apply = apply_head if trained.recipe.head == "logistic" else apply_ridge
        found.append(apply(features, trained.weights.astype(np.float64), trained.bias))
    return found


def reading_of(recipe: AnnotatorRecipe) -> tuple[str, str, int, int]:
    """What a text's embeddings depend on."""
    return recipe.embedder, recipe.precision, recipe.sections, recipe.section_tokens


def load_scorer(catalog: Catalog, label: str) -> Callable[[str], float]:
    """What gives a text its score, by an annotator of a root that is loaded once.

    Raises: CorpusError when there is none, or its embedder is not here or is another one.
    """
    trained = load(catalog, label)
    embedder = load_embedder(trained.recipe)
    score(trained, ["text"], embedder=embedder)  # whether they fit
    return lambda text: float(score(trained, [text], embedder=embedder)[0])


def load(catalog: Catalog, label: str) -> Trained:
    """The annotator `NAME@VERSION`, or the newest version of `NAME`. Raises: CorpusError when there is none."""
    match = VERSION.fullmatch(label)
    name = match[1] if match is not None else label
    names = catalog.names("annotators")
    if match is None or name not in names:
        have = f"there are {', '.join(names)}" if names else "there is none"
        raise CorpusError(f"annotator {label} is unknown; {have}. Train one with phasemix annotator train")
    bodies = catalog.log(f"{LOG}/{name}").read()
    version = int(match[2]) if match[2] else len(bodies)
    if not 1 <= version <= len(bodies):
        raise CorpusError(f"annotator {name} has versions 1 to {len(bodies)} and no {version}")
    with bodies.understood(version - 1):
        return trained_of(bodies[version - 1], name, version)


def trained_of(body: Body, name: str, version: int) -> Trained:
    """What an entry says. Raises: CorpusError for a format that is not known."""
    check_format(CorpusError, f"annotator {name}@{version}", body["format"], FORMAT)
    plain = {field: body[field] for field in ("embedder", "fingerprint", "bias", "good", "other", "languages", "digest")}
    return Trained(
        name=name,
        version=version,
        recipe=msgspec.convert(body["recipe"], AnnotatorRecipe),
        weights=np.frombuffer(base64.b64decode(body["weights"]), "<f4"),
        seen=np.frombuffer(base64.b64decode(body["seen"]), "<u8"),
        figure=body["figure"],
        **plain,
    )


def versions(catalog: Catalog) -> list[Trained]:
    """All versions of all annotators of a root."""
    return [
        load(catalog, f"{name}@{number}")
        for name in catalog.names("annotators")
        for number in range(1, len(catalog.log(f"{LOG}/{name}").read()) + 1)
    ]


def hash_of(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def is_seen(trained: Trained, text: str) -> bool:
    """Whether the annotator learned from a text."""
    place = int(np.searchsorted(trained.seen, np.uint64(hash_of(text))))
    return place < len(trained.seen) and int(trained.seen[place]) == hash_of(text)
