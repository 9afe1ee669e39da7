"""A job, its identity, and the verdict on what came of it.

Always holds: the identity is a function of what is wanted (language, seed document, recipe, model, n-th file), so a retry
keeps it and two planners give the same job the same one.
"""

from enum import StrEnum

import msgspec
import xxhash

from mixer.pool.files import KIND, MOST_CHARACTERS, RejectedFile
from streamer.documents.document import Document


class Reason(StrEnum):
    """Why a file is rejected; each is counted."""

    NO_COMPLETION = "no_completion"
    UNFINISHED_REASONING = "unfinished_reasoning"
    CUT_OFF = "cut_off"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NO_FILE = "no_file"
    SEVERAL_FILES = "several_files"
    WRONG_LANGUAGE = "wrong_language"
    GENERATED = "generated"
    TOO_MANY_LINES = "too_many_lines"
    LONG_LINES = "long_lines"
    FEW_LETTERS = "few_letters"
    ENCODED_DATA = "encoded_data"
    DATA = "data"
    LICENCE_ALONE = "licence_alone"
    TRIVIAL = "trivial"
    DOES_NOT_PARSE = "does_not_parse"
    STUBS = "stubs"
    REPETITIVE = "repetitive"
    COPY_OF_SEED = "copy_of_seed"
    NEAR_DUPLICATE = "near_duplicate"
    CONTAMINATED = "contaminated"
    REDACTED = "redacted"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One request to write one synthetic file.

    `text`: the seed document's; `index`: the n-th file wanted of it, from 0; `purpose`: whom it is for, `order/3` or
    `demand/python`, which is no part of the identity.
    """

    language: str
    seed_document: str
    recipe: str
    model: str
    index: int
    text: str
    purpose: str

    @property
    def identity(self) -> str:
        """32 hex digits; the seed document's text is named by its id."""
        words = (self.language, self.seed_document, self.recipe, self.model, str(self.index))
        return xxhash.xxh3_128_hexdigest("\0".join(words).encode())


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine wrote. `finish_reason` as in the OpenAI API: "stop" or "length".

    `reasoning`: what it thought, where the engine says so apart; `tokens`: written, `prompt_tokens`: read; `model`: which it
    says it is, empty where it does not.
    """

    text: str
    finish_reason: str
    tokens: int
    prompt_tokens: int = 0
    reasoning: str = ""
    model: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted with the file's text, or rejected with a reason and what was measured or found, by name."""

    text: str | None = None
    reason: Reason | None = None
    values: dict[str, float | str] = {}

    @property
    def accepted(self) -> bool:
        return self.reason is None


class AcceptedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that passed a worker's gates, with its job's identity and purpose."""

    identity: str
    purpose: str
    document: Document

    @property
    def seed_document(self) -> str:
        return self.document.path.rpartition("/")[0]


def accepted_file(job: Job, text: str) -> AcceptedFile:
    """The synthetic document that a job gave; its id is the job's identity."""
    document = Document(
        text=text,
        path=f"{job.seed_document}/{job.index}",
        repository=f"synthetic/{job.model}",
        language=job.language,
        license="synthetic",
        document=job.identity,
    )
    return AcceptedFile(identity=job.identity, purpose=job.purpose, document=document)


def rejected_job(job: Job, reason: str, text: str, at_ms: int) -> RejectedFile:
    """What a job gave, kept to be looked at."""
    return RejectedFile(
        id=job.identity,
        language=job.language,
        at_s=at_ms / 1000,
        reason=reason,
        seed=job.seed_document,
        model=job.model,
        text=text[:MOST_CHARACTERS],
    )


def rejected_file(file: AcceptedFile, reason: str, at_ms: int) -> RejectedFile:
    """A file that passed a worker's gates and was then refused."""
    document = file.document
    return RejectedFile(
        id=file.identity,
        language=document.language,
        at_s=at_ms / 1000,
        reason=reason,
        seed=document.path.rpartition("/")[0],
        model=document.repository.removeprefix(f"{KIND}/"),
        text=document.text[:MOST_CHARACTERS],
    )
