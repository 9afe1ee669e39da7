"""The settings of a corpus, read from TOML.

Always holds: a recipe is frozen, refuses unknown keys, and every number is checked before anything is read.
"""

import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from streamer.catalog.names import LONGEST_GLOB
from streamer.documents.notebooks import Notebooks
from streamer.documents.toml_text import parse_toml, read_text
from streamer.errors import CorpusError, TomlError
from streamer.gates.filters import Filters
from streamer.likeness.decontamination import Decontamination
from streamer.likeness.near_duplicates import USUAL, Duplicates
from streamer.packing.grouping import Grouping
from streamer.privacy.replacing import Privacy
from streamer.publishing.heldout import SHARE
from streamer.scoring.annotator import DEFAULT_MODEL
from streamer.scoring.quality_bins import TIERS, check_bounds
from streamer.wording import did_you_mean

MAX_SAMPLE_FILES = 10**7
UNKNOWN = "unknown"  # a licence
DEEPEST = 8
WELL_KEPT_MODULES = (
    "abc", "argparse", "ast", "base64", "bisect", "bdb", "calendar", "cmd", "codeop", "colorsys", "configparser",
    "contextlib", "copy", "csv", "dataclasses", "difflib", "enum", "filecmp", "fileinput", "fnmatch", "fractions",
    "functools", "getopt", "glob", "graphlib", "gzip", "hashlib", "heapq", "hmac", "inspect", "ipaddress", "linecache",
    "operator", "pathlib", "pprint", "queue", "random", "reprlib", "sched", "secrets", "selectors", "shelve", "shlex",
    "shutil", "statistics", "string", "tempfile", "textwrap", "threading", "timeit", "tokenize", "types", "typing",
    "uuid", "weakref", "zipfile",
)  # fmt: skip

Glob = Annotated[str, msgspec.Meta(max_length=LONGEST_GLOB)]  # one is made into a regex, in time that grows with the square


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder, an archive (zip, tar, wheel), a git repository, or a Parquet or JSON Lines file of source files.

    Attributes:
        path: Where the source lies: a path on this machine, or an address in an object store, `s3://BUCKET/PREFIX` for a
            folder and `s3://BUCKET/KEY` for one file (also `gs://`, `az://`, `azure://`, `abfs://`). Git repositories are
            read from a disk alone.
        repository: The name of the one repository that the source is. Without it every entry at the top of a folder is a
            repository of its own, and an archive is one.
        license: The licence that is noted with each document. Without it a repository has the SPDX expression that its
            `package.json`, `pyproject.toml`, `Cargo.toml` or `composer.json` states, in a folder or in git. A file that
            states one of its own has that.
        max_mb: How much text to take at most, in units of 10**6 bytes. Whole repositories of a folder are taken in a random
            order that depends on `seed`.
        include: Globs over paths inside the source, such as `*.py`. A file must match one of them.
        exclude: Globs over paths inside the source. A file that matches one of them is left out.
        depth: How many archives deep archives inside an archive are opened. A path in one is `inner.zip/PATH`.
        revision: A branch, tag or commit of a git repository, of which the files are taken as they are there. A bare
            repository needs none and is then read at its HEAD; a working tree without one is read as a folder.
        contents: Where the texts lie that rows of The Stack v2 or of Stack-Edu name by `blob_id`: a folder or an address in
            an object store that holds a gzip object for each id. What is missing there is counted as `no_content`.
    """

    path: str
    repository: str | None = None
    license: str = UNKNOWN
    max_mb: float | None = None
    include: tuple[Glob, ...] = ("*",)
    exclude: tuple[Glob, ...] = ()
    depth: int = 1
    revision: str | None = None
    contents: str | None = None

    def __post_init__(self) -> None:
        check("depth", self.depth, 0, DEEPEST)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a corpus is built from and how. The paper's numbers: seq_len 8192, section_tokens 512, vocabulary 64000.

    Attributes:
        sources: What to read, one `[[sources]]` table for each.
        licenses: The licences that may be taken, by their SPDX names, such as `MIT` and `Apache-2.0`. Without them all are.
            A file that states its own (`SPDX-License-Identifier`) has that one; of `MIT OR ISC` one must be allowed.
        opt_out: A text file of what is left out, an entry a line: the name of a repository, or a glob over
            `REPOSITORY/PATH`. Lines that begin with `#` are comments.
        seq_len: How many tokens a sample has. A mixture and a training must name the same number.
        dtype: How a token id is stored: `uint16`, or `uint32` for a tokenizer of more than 65,536 ids.
        tokenizer: The path of a `tokenizer.json`. Without it a tokenizer is trained on the corpus.
        vocabulary: How many ids the tokenizer that is trained has.
        tokenizer_mb: How much text the tokenizer is trained on, in units of 10**6 bytes.
        heldout_share: Which share of the repositories is held out for evaluation, in `heldout/*`, and never trained on.
        heldout_mb: How much text of each language an ingest holds out at most, in units of 10**6 bytes. What its held-out
            repositories have beyond that is left out as `held_out`: it is not trained on either.
        heldout_key: What the choice of held-out repositories depends on. Corpora with the same key hold out the same ones. A
            root keeps share and key, and what is published under it later is held to them.
        annotator: A version that the root has, such as `hqins@1`, which scores the documents. Without it an annotator is
            trained by the keys that follow, and kept as a version of `ingest`. A root keeps the annotator of its first
            ingest.
        annotator_model: The embedding model of the annotator: a name or a folder, or `ngrams` for a linear head on hashed
            n-grams, which needs no model.
        positives: What the annotator learns to be of high quality: globs of source files, or of .jsonl files with `output`,
            `content` or `text`. Without them well-kept modules of Python's standard library are taken.
        sample_files: How many files the annotator learns from, positives included. A student that learns from it scores the
            rest; with `ngrams` the annotator itself does.
        pass_on: Which share of each language's files the annotator reads itself, the best by its student.
        section_tokens: How many tokens the annotator reads at the top, in the middle and at the bottom of a file.
        bins: The lower bounds of the quality tiers, in percent of a language's documents by rank: 20 equal ones, the best of
            them in `scored/*/q95`.
        grouping: How documents are grouped before they are packed: `language-repo`, by language and then by repository;
            `repo`, by repository alone; or `repo-language`, by repository and then by language.
        filters: Which files are refused, and from which threshold on: one `[filters.GATE]` table for each gate.
        duplicates: When files are near-duplicates, of which the first one is kept: a `[duplicates]` table.
        decontamination: Which benchmarks the corpus is kept free of, and from when on a file counts as a copy: a
            `[decontamination]` table.
        privacy: What is replaced in the texts, secrets and addresses: a `[privacy]` table.
        notebooks: What a notebook becomes: `script`, code with its markdown in comments of the kernel's language, or `text`,
            markdown with the code between fences. Outputs are left out either way.
        seed: The seed of every random choice.
        workers: How many processes read and pack. Above 1 a Python script that builds a corpus needs the `if __name__ ==
            "__main__"` of multiprocessing.
    """

    sources: tuple[Source, ...]
    licenses: tuple[str, ...] = ()
    opt_out: str | None = None
    seq_len: int = 8192
    dtype: str = "uint16"
    tokenizer: str | None = None
    vocabulary: int = 8192
    tokenizer_mb: float = 4.0
    heldout_share: float = SHARE
    heldout_mb: float = 64.0
    heldout_key: str = "phasemix"
    annotator: str | None = None
    annotator_model: str = DEFAULT_MODEL
    positives: tuple[str, ...] = ()
    sample_files: int = 150
    pass_on: float = 0.0
    section_tokens: int = 256
    bins: tuple[int, ...] = TIERS
    grouping: Grouping = Grouping.LANGUAGE_REPO
    filters: Filters = Filters()
    duplicates: Duplicates = USUAL
    decontamination: Decontamination = Decontamination()
    privacy: Privacy = Privacy()
    notebooks: Notebooks = Notebooks.SCRIPT
    seed: int = 17
    workers: int = 1

    def __post_init__(self) -> None:
        check_bounds(self.bins)
        check("sources", len(self.sources), 1, 10**6, "name at least one [[sources]] with a path")
        check("duplicates.threshold", self.duplicates.threshold, 0.5, 1)
        check("duplicates.shingle", self.duplicates.shingle, 1, 50)
        check("duplicates.permutations", self.duplicates.permutations, 64, 1024)
        check("decontamination.min_letters", self.decontamination.min_letters, 16, 10**4)
        check("decontamination.min_function_letters", self.decontamination.min_function_letters, 16, 10**4)
        check("decontamination.min_letters_together", self.decontamination.min_letters_together, 32, 10**4)
        check("decontamination.min_words", self.decontamination.min_words, 16, 10**4)
        check("decontamination.min_words_whole", self.decontamination.min_words_whole, 16, 10**4)
        check("decontamination.min_overlap", self.decontamination.min_overlap, 0.1, 1)
        check("seq_len", self.seq_len, 2, 2**20)
        check("heldout_share", self.heldout_share, 0, 0.5)
        check("heldout_mb", self.heldout_mb, 0.001, 10**6)
        check("pass_on", self.pass_on, 0, 1)
        if self.annotator is not None and self.positives:
            raise CorpusError("annotator and positives are two ways to say what is good; leave one of them out")
        check("sample_files", self.sample_files, 20, MAX_SAMPLE_FILES, "the student scores the rest")
        check("section_tokens", self.section_tokens, 16, 8192)
        check("vocabulary", self.vocabulary, 257, 2**20)
        check("tokenizer_mb", self.tokenizer_mb, 0.001, 10**5)
        check("workers", self.workers, 1, 1024)
        check("seed", self.seed, 0, 2**63)
        if self.dtype not in ("uint16", "uint32"):
            raise CorpusError(f"dtype {self.dtype} is not one of uint16, uint32; change it in the recipe")


def identity_of(recipe: Recipe) -> bytes:
    """What decides the result of a build, as equal bytes for equal recipes: `1` and `1.0` are, `workers` is left out."""
    plain = msgspec.convert(msgspec.to_builtins(recipe), Recipe)
    return msgspec.json.encode(msgspec.structs.replace(plain, workers=1))


def check(name: str, value: float, low: float, high: float, remedy: str = "change it in the recipe") -> None:
    """Raises: CorpusError unless low <= value <= high."""
    if not low <= value <= high:
        raise CorpusError(f"{name} {value} is not in {low}..{high}; {remedy}")


def parse_recipe(text: str, *, name: str = "recipe", settled: Mapping[str, Any] | None = None, **changes: Any) -> Recipe:
    """A recipe from TOML, with `changes` laid over it; `settled` stands for the defaults of its keys.

    Raises: CorpusError that names the key.
    """
    try:
        table = parse_toml(text)
        return msgspec.convert({**(settled or {}), **table, **changes}, Recipe)
    except (TomlError, msgspec.ValidationError) as error:
        whose, kind = ("a source's keys", Source) if "$.sources[" in str(error) else ("the keys", Recipe)
        unknown = re.search(r"unknown field `(.*?)`", str(error))
        near = did_you_mean(unknown[1], kind.__struct_fields__) if unknown else ""
        raise CorpusError(f"{name}: {error}; {whose} are {', '.join(kind.__struct_fields__)}{near}") from error


def load_recipe(path: str | Path, *, settled: Mapping[str, Any] | None = None, **changes: Any) -> Recipe:
    """A recipe from a TOML file, as `parse_recipe` makes it of a text. Raises: CorpusError."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError, TomlError) as error:
        raise CorpusError(f"recipe {path} cannot be read ({error}); give a TOML file") from error
    return parse_recipe(text, name=f"recipe {path}", settled=settled, **changes)


def default_positives() -> tuple[str, ...]:
    """Paths of well-kept modules of the running Python's standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    return tuple(str(folder / f"{name}.py") for name in WELL_KEPT_MODULES if (folder / f"{name}.py").is_file())
