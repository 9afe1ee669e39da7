"""The recipe of an annotator: what embeds, what it learns from, and which head it has.

Always holds: a recipe is frozen and refuses unknown keys; every number is checked before anything is read.
"""

import glob
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from streamer.documents.toml_text import parse_toml, read_text
from streamer.errors import CorpusError, TomlError
from streamer.wording import did_you_mean

MODEL = "Snowflake/snowflake-arctic-embed-m"
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Glob = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Positives(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Good texts of one kind.

    Attributes:
        files: Globs of source files, and of .jsonl files (also .gz) whose rows have `output`, `content` or `text`. A path is
            looked for beside the recipe, unless it is absolute.
        streams: A glob over streams: of documents, or of synthetic files.
        most: How many of them are taken at most, at random.
    """

    files: tuple[Glob, ...] = ()
    streams: Glob | None = None
    most: Annotated[int, msgspec.Meta(ge=2, le=10**7)] = 10_000

    def __post_init__(self) -> None:
        if not self.files and self.streams is None:
            raise CorpusError("[[positives]] names nothing; give `files` or `streams`")


class StudentRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fast student that stands in front of an annotator: it scores everything, and the annotator what it likes best.

    Attributes:
        files: How many documents the annotator scores so that the student learns from them: of every language the same
            number, or all that there are.
        pass_on: Which share of each language's documents the annotator then reads itself, the best by the student.
    """

    files: Annotated[int, msgspec.Meta(ge=100, le=10**7)] = 5000
    pass_on: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.25


class AnnotatorRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an annotator is trained. The paper's numbers: 3 sections of 512 tokens, 300,000 positives.

    Attributes:
        name: What it is called. Each training that gives another one is a version of it.
        embedder: The model that embeds: a name of sentence-transformers or a folder, or `ngrams`, which needs no model.
        precision: What the model computes in: `float32`, or `bfloat16`, nearly twice as fast on processors that know it.
        head: `logistic`, which tells positives from random documents, or `ridge`, which foretells a judge's labels.
        sections: How many sections of a file are read, spread evenly from its top to its bottom. A score is the mean over
            them.
        section_tokens: How many tokens a section has.
        positives: What a logistic head takes for good: one `[[positives]]` table for each kind.
        negatives: The streams of documents whose random documents are what is not good. Held-out ones are in none of them.
        files: How many random documents it reads, or of how many labelled ones a ridge learns at most.
        labels: The rubric whose labels a ridge learns from, such as `edu`.
        student: A `[student]` table lets a fast student stand in front when streams are scored. Without one the annotator
            reads everything.
        seed: Of the choice of files.
    """

    name: Name
    embedder: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] = MODEL
    precision: Literal["float32", "bfloat16"] = "float32"
    head: Literal["logistic", "ridge"] = "logistic"
    sections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3
    section_tokens: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 512
    positives: tuple[Positives, ...] = ()
    negatives: Glob = "documents/*"
    files: Annotated[int, msgspec.Meta(ge=20, le=10**7)] = 10_000
    labels: Name | None = None
    student: StudentRecipe | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        if self.head == "logistic" and (not self.positives or self.labels is not None):
            raise CorpusError(f"annotator {self.name} has a logistic head: give it [[positives]] and no labels")
        if self.head == "ridge" and (self.positives or self.labels is None):
            raise CorpusError(f"annotator {self.name} has a ridge: give it labels, a rubric's name, and no [[positives]]")


def parse_annotator(text: str, *, name: str) -> AnnotatorRecipe:
    """A recipe from TOML. Raises: CorpusError that names the key."""
    try:
        return msgspec.convert(parse_toml(text), AnnotatorRecipe)
    except (TomlError, msgspec.ValidationError) as error:
        tables = {"$.positives[": Positives, "$.student": StudentRecipe}
        kind = next((kind for place, kind in tables.items() if place in str(error)), AnnotatorRecipe)
        known = kind.__struct_fields__
        unknown = str(error).partition("unknown field `")[2].partition("`")[0]
        near = did_you_mean(unknown, known) if unknown else ""
        raise CorpusError(f"{name}: {error}; the keys are {', '.join(known)}{near}") from error


def built_in() -> dict[str, AnnotatorRecipe]:
    """The recipes that come with the package, by name: those of the paper's Table 4."""
    found = [place for place in files("streamer.scoring").iterdir() if place.name.endswith(".toml")]
    recipes = [parse_annotator(place.read_text(), name=place.name) for place in found]
    return {recipe.name: recipe for recipe in sorted(recipes, key=lambda recipe: recipe.name)}


def load_recipe(word: str) -> AnnotatorRecipe:
    """The recipe that is called so, or of a TOML file, whose relative paths are those beside it. Raises: CorpusError."""
    if not word.endswith(".toml"):
        found = built_in()
        if word not in found:
            raise CorpusError(
                f"annotator recipe {word} is unknown; there are {', '.join(found)}, or name a TOML file"
                f"{did_you_mean(word, found)}"
            )
        return found[word]
    try:
        recipe = parse_annotator(read_text(word), name=f"annotator recipe {word}")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"annotator recipe {word} cannot be read ({error}); give a TOML file") from error
    beside = Path(glob.escape(str(Path(word).resolve().parent)))
    changed = tuple(
        msgspec.structs.replace(one, files=tuple(str(beside / Path(path).expanduser()) for path in one.files))
        for one in recipe.positives
    )
    return msgspec.structs.replace(recipe, positives=changed, embedder=place_of(recipe.embedder))


def place_of(embedder: str) -> str:
    """The absolute path of a folder, which holds wherever a version is used later; another name as it is."""
    return str(Path(embedder).resolve()) if Path(embedder).is_dir() else embedder
