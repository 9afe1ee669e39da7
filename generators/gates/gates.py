"""The gates in order of cost: what an engine wrote to a verdict.

Always holds: the same completion, job and accepted files give the same verdict; the first gate that refuses names the
reason and what it measured. Workers ask the gates that need nothing but the job. The publisher, which knows the root, asks
whether a file has a task of a benchmark in it and whether it nearly equals a document of the corpus or a file accepted
before, and replaces secrets.
"""

from collections.abc import Iterator

import msgspec

from generators.gates.answers import find_file, without_reasoning
from generators.gates.copies import shares_of_seed
from generators.gates.language import evidence
from generators.gates.substance import code_share, code_size, compressed_share, distinct_share, stub_share
from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.documents.text import MAX_BYTES
from streamer.gates.filters import Filters, LanguageGates
from streamer.gates.origin import BuildOutput, Vendored
from streamer.gates.subject import Subject
from streamer.gates.syntax import DoesNotParse, parses
from streamer.likeness.code_views import bare_code

USUAL_ERROR_SHARE = 0.02
ERROR_SHARES = {  # what of a file its grammar may have no place for, where real files have more than that, or none at all
    "python": 0.0, "java": 0.0, "php": 0.0, "ruby": 0.0,
    "c": 0.12, "cpp": 0.12, "kotlin": 0.06, "rust": 0.04, "scala": 0.06, "sql": 0.6, "swift": 0.08, "typescript": 0.05,
}  # fmt: skip
BRACKETS = (b"()", b"[]", b"{}")
UNPAIRED = frozenset({"shell", "sql"})  # `a)` opens a case, and dialects have what no grammar knows


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds of the gates that look at nothing but the file and its seed.

    Attributes:
        max_bytes_per_token: How many bytes an answer may have for each token that it was allowed.
        min_code_size: How many words and signs of code a file must have.
        min_code_share: Which share of a file must be code that is no white space.
        max_stub_share: Which share of the functions may have a body that does nothing.
        min_distinct_share: Which share of the lines must be no repetition of another one.
        min_compressed_share: To which share of its size a file may be compressed.
        max_shared_words: Which share of the runs of five words the seed may have.
        max_shared_structure: Which share of the runs of 16 words without names the seed may have.
    """

    max_bytes_per_token: int = 16
    min_code_size: int = 16
    min_code_share: float = 0.02
    max_stub_share: float = 0.5
    min_distinct_share: float = 0.15
    min_compressed_share: float = 0.08
    max_shared_words: float = 0.8
    max_shared_structure: float = 0.65


USUAL_LIMITS = Limits()
CORPUS = LanguageGates(
    Filters(vendored=Vendored(on=False), build_output=BuildOutput(on=False), does_not_parse=DoesNotParse(on=False))
)


def judge(job: Job, completion: Completion, *, max_tokens: int | None = None, limits: Limits = USUAL_LIMITS) -> Verdict:
    """The verdict of the gates that need no other file. `KnownFiles` tells near-duplicates, for the publisher.

    Args: max_tokens, how long the answer was allowed to be, for the gate of its size.
    """
    text = without_reasoning(completion.text)
    if text is None or (completion.reasoning and not completion.text.strip()):
        return Verdict(reason=Reason.UNFINISHED_REASONING, values={"tokens": completion.tokens})
    if completion.finish_reason != "stop":
        return Verdict(reason=Reason.CUT_OFF, values={"tokens": completion.tokens})
    size, most = len(text.encode("utf-8", "replace")), MAX_BYTES
    if max_tokens is not None:
        most = min(most, limits.max_bytes_per_token * max_tokens)
    if size > most:
        return Verdict(reason=Reason.TOO_LARGE, values={"bytes": size, "max_bytes": most})
    found = find_file(text, job.language)
    if isinstance(found, Verdict):
        return found
    file, seed, language = found.text, job.text, job.language
    if language == NOTEBOOK:  # kept as the script that the corpus has of a notebook, whichever of the two was written
        file, seed, language = as_script(file), as_script(seed), "python"
        if not file:
            return Verdict(reason=Reason.DOES_NOT_PARSE, values={"notebook": "broken or empty"})
    refused = next(refusals(file, seed, language, limits, is_fenced=found.is_fenced), None)
    return refused or Verdict(text=file)


def refusals(text: str, seed: str, language: str, limits: Limits, *, is_fenced: bool) -> Iterator[Verdict]:
    """The refusals of a file by the gates that look into it, found one after the other."""
    data = text.encode("utf-8", "replace")
    code = bare_code(data, language)
    told = evidence(text, code, language)
    wrong = (
        Verdict(reason=Reason.WRONG_LANGUAGE, values=told.values) if told.is_wrong else does_not_parse(text, code, language)
    )
    if not is_fenced and (wrong is not None or not told.is_sure):
        yield Verdict(reason=Reason.NO_FILE, values=told.values)
    if (refusal := CORPUS.judge(Subject(text, language=language))) is not None:
        yield Verdict(reason=Reason(refusal.reason), values=refusal.values)
    measures = code_size(code), code_share(code, data)
    if measures[0] < limits.min_code_size or measures[1] < limits.min_code_share:
        yield Verdict(reason=Reason.TRIVIAL, values={"code_size": measures[0], "code_share": round(measures[1], 3)})
    if wrong is not None:
        yield wrong
    if (share := stub_share(code, language)) > limits.max_stub_share:
        yield Verdict(reason=Reason.STUBS, values={"stub_share": round(share, 3)})
    distinct, compressed = distinct_share(text), compressed_share(data)
    if distinct < limits.min_distinct_share or compressed < limits.min_compressed_share:
        values = {"distinct_share": round(distinct, 3), "compressed_share": round(compressed, 3)}
        yield Verdict(reason=Reason.REPETITIVE, values=dict(values))
    words, structure = shares_of_seed(text, seed, language)
    if words >= limits.max_shared_words or structure >= limits.max_shared_structure:
        yield Verdict(reason=Reason.COPY_OF_SEED, values={"words": round(words, 3), "structure": round(structure, 3)})


def does_not_parse(text: str, code: bytes, language: str) -> Verdict | None:
    """The refusal of a text that its grammar has no place for; also of one with errors whose brackets are not in pairs."""
    if parses(text, language):
        return None
    gate = DoesNotParse(max_error_share=ERROR_SHARES.get(language, USUAL_ERROR_SHARE), max_bytes=MAX_BYTES)
    refusal = gate.judge(Subject(text, language=language))
    if refusal is not None:
        return Verdict(reason=Reason.DOES_NOT_PARSE, values=refusal.values)
    unpaired = {pair.decode(): code.count(pair[:1]) - code.count(pair[1:]) for pair in BRACKETS}
    if language not in UNPAIRED and any(unpaired.values()):
        return Verdict(
            reason=Reason.DOES_NOT_PARSE, values={"unpaired": " ".join(f"{n}{p}" for p, n in unpaired.items() if n)}
        )
    return None
