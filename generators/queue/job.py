"""A job, its identity, and the verdict on what came of it.

Always holds: the identity is a function of what is wanted (language, seed document, recipe, model, n-th file), so a retry
keeps it and two planners give the same job the same one.
"""

from enum import StrEnum

import msgspec
import xxhash

from generators.recipes.limits import Limits
from generators.recipes.recipe import Sampling
from mixer.pool.files import KIND, MOST_CHARACTERS, RejectedFile, Values
from streamer.documents.document import Document


class Reason(StrEnum):
    """Why a file is rejected; each is counted."""

    NO_COMPLETION = "no_completion"
    UNFINISHED_REASONING = "unfinished_reasoning"
    CUT_OFF = "cut_off"
    TOO_LARGE = "too_large"
    LONE_SURROGATE = "lone_surrogate"
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
    DOES_NOT_RUN = "does_not_run"
    NEAR_DUPLICATE = "near_duplicate"
    CONTAMINATED = "contaminated"
    LOW_SCORE = "low_score"
    REDACTED = "redacted"
    NOT_WANTED = "not_wanted"  # its order was filled meanwhile; it may be planned again for another


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One request to write one synthetic file.

    `text`: as much of the seed document as the prompt has, `repository` and `license` are the seed's; `index`: the n-th file
    wanted of it, from 0; `purpose`: whom it is for, `order/3` or `demand/python`. `recipe`: name and version, `prompt` its
    template, `limits` what holds for the language, `execute_s` how long its file is run, None for not at all. What recipe,
    model, seed and index do not say is no part of the identity.
    """

    language: str
    seed_document: str
    recipe: str
    model: str
    index: int
    text: str
    purpose: str
    prompt: str = ""
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    execute_s: float | None = None
    repository: str = ""
    license: str = ""

    @property
    def identity(self) -> str:
        """32 hex digits; the seed document's text is named by its id."""
        return identity_of(self.language, self.seed_document, self.recipe, self.model, self.index)


def identity_of(language: str, seed_document: str, recipe: str, model: str, index: int) -> str:
    """The identity of the job that has these."""
    return xxhash.xxh3_128_hexdigest("\0".join((language, seed_document, recipe, model, str(index))).encode())


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine wrote. `finish_reason` as in the OpenAI API: "stop" or "length".

    `reasoning`: what it thought, where the engine says so apart; `tokens`: written, `prompt_tokens`: read; `model`: which it
    says it is, empty where it does not. The others are as in `Origin`.
    """

    text: str
    finish_reason: str
    tokens: int
    prompt_tokens: int = 0
    reasoning: str = ""
    model: str = ""
    prompt: str = ""
    engine: str = ""
    asked_at_s: float = 0.0
    answered_at_s: float = 0.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted with the file's text, or rejected with a reason; and what was measured or found."""

    text: str | None = None
    reason: Reason | None = None
    values: Values = {}

    @property
    def accepted(self) -> bool:
        return self.reason is None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How a file came to be: its seed document with repository and licence, what was asked, of whom, and what it cost.

    `prompt`: the xxh3-128 of what was asked, in hex; `engine`: the endpoint; tokens of prompt and answer are counted by it;
    times are in seconds since 1970; `values`: what the gates measured.
    """

    seed_document: str
    seed_repository: str = ""
    seed_license: str = ""
    recipe: str = ""
    index: int = 0
    prompt: str = ""
    model: str = ""
    engine: str = ""
    sampling: Sampling = Sampling()
    prompt_tokens: int = 0
    tokens: int = 0
    asked_at_s: float = 0.0
    answered_at_s: float = 0.0
    values: Values = {}


class AcceptedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that passed a worker's gates, with its job's identity and purpose. `limits`: for the gates that follow."""

    identity: str
    purpose: str
    document: Document
    origin: Origin
    limits: Limits = Limits()

    def measured(self, values: Values) -> "AcceptedFile":
        """The file with what further gates have measured."""
        origin = msgspec.structs.replace(self.origin, values={**self.origin.values, **values})
        return msgspec.structs.replace(self, origin=origin)


def accepted_file(
    job: Job, text: str, completion: Completion | None = None, *, values: Values | None = None
) -> AcceptedFile:
    """The synthetic document that a job gave; its id is the job's identity."""
    document = Document(
        text=text,
        path=f"{job.recipe}/{job.seed_document}/{job.index}",
        repository=f"synthetic/{job.model}",
        language=job.language,
        license="synthetic",
        document=job.identity,
    )
    known = (
        {}
        if completion is None
        else {
            name: getattr(completion, name)
            for name in ("prompt", "engine", "prompt_tokens", "tokens", "asked_at_s", "answered_at_s")
        }
    )
    origin = Origin(
        seed_document=job.seed_document,
        seed_repository=job.repository,
        seed_license=job.license,
        recipe=job.recipe,
        index=job.index,
        model=job.model,
        sampling=job.sampling,
        values=values or {},
        **known,
    )
    return AcceptedFile(identity=job.identity, purpose=job.purpose, document=document, origin=origin, limits=job.limits)


def rejected_job(job: Job, reason: str, text: str, at_ms: int, values: Values | None = None) -> RejectedFile:
    """What a job gave, kept to be looked at."""
    return RejectedFile(
        id=job.identity,
        language=job.language,
        at_s=at_ms / 1000,
        reason=reason,
        seed=job.seed_document,
        recipe=job.recipe,
        model=job.model,
        text=text[:MOST_CHARACTERS].encode(errors="replace").decode(),
        values=values or {},
    )


def rejected_file(file: AcceptedFile, reason: str, at_ms: int, values: Values | None = None) -> RejectedFile:
    """A file that passed a worker's gates and was then refused."""
    document = file.document
    return RejectedFile(
        id=file.identity,
        language=document.language,
        at_s=at_ms / 1000,
        reason=reason,
        seed=file.origin.seed_document,
        recipe=file.origin.recipe,
        model=document.repository.removeprefix(f"{KIND}/"),
        text=document.text[:MOST_CHARACTERS],
        values=values or {},
    )
