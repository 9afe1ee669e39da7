"""The gates in order of cost: what an engine wrote to a verdict.

Always holds: the same completion, job and accepted files give the same verdict; the first gate that refuses names the
reason and what it measured. Workers ask the gates that need nothing but the job. The publisher, which knows the root, asks
whether a file has a task of a benchmark in it and whether it nearly equals a document of the corpus or a file accepted
before, and replaces secrets.
"""

from collections.abc import Iterator

from generators.gates.answers import find_file, without_reasoning
from generators.gates.copies import shares_of_seed
from generators.gates.language import evidence
from generators.gates.substance import code_share, code_size, compressed_share, distinct_share, stub_share
from generators.queue.job import Completion, Job, Reason, Verdict
from generators.recipes.limits import Limits
from mixer.pool.files import Values
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


CORPUS = LanguageGates(
    Filters(vendored=Vendored(on=False), build_output=BuildOutput(on=False), does_not_parse=DoesNotParse(on=False))
)


def judge(job: Job, completion: Completion, *, max_tokens: int | None = None) -> Verdict:
    """The verdict of the gates that need no other file, by the job's limits. `KnownFiles` tells near-duplicates.

    Args: max_tokens, how long the answer was allowed to be, for the gate of its size.
    Returns: what the gate that refuses has measured, or all of them, with each limit beside its figure.
    """
    text, tokens = without_reasoning(completion.text), {"tokens": completion.tokens}
    if max_tokens is not None:
        tokens["max_tokens"] = max_tokens
    if text is None or (completion.reasoning and not completion.text.strip()):
        return Verdict(reason=Reason.UNFINISHED_REASONING, values={**tokens})
    if completion.finish_reason != "stop":
        return Verdict(reason=Reason.CUT_OFF, values={**tokens})
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:  # half a character, as JSON can say it
        return Verdict(reason=Reason.LONE_SURROGATE, values={"at_character": error.start})
    most = MAX_BYTES if max_tokens is None else min(MAX_BYTES, job.limits.max_bytes_per_token * max_tokens)
    measured: Values = {"bytes": size, "max_bytes": most}
    if size > most:
        return Verdict(reason=Reason.TOO_LARGE, values=measured)
    found = find_file(text, job.language)
    if isinstance(found, Verdict):
        return found
    file, seed, language = found.text, job.text, job.language
    if language == NOTEBOOK:  # kept as the script that the corpus has of a notebook, whichever of the two was written
        file, seed, language = as_script(file), as_script(seed), "python"
        if not file:
            return Verdict(reason=Reason.DOES_NOT_PARSE, values={"notebook": "broken or empty"})
    for verdict in verdicts(file, seed, language, job.limits, is_fenced=found.is_fenced):
        if verdict.reason is not None:
            return verdict
        measured |= verdict.values
    return Verdict(text=file, values=measured)


def verdicts(text: str, seed: str, language: str, limits: Limits, *, is_fenced: bool) -> Iterator[Verdict]:
    """What the gates that look into a file say of it, one after the other."""
    data = text.encode()
    code = bare_code(data, language)
    told = evidence(text, code, language)
    wrong = (
        Verdict(reason=Reason.WRONG_LANGUAGE, values=told.values) if told.is_wrong else does_not_parse(text, code, language)
    )
    is_unclear = not is_fenced and (wrong is not None or not told.is_sure)
    yield Verdict(reason=Reason.NO_FILE if is_unclear else None, values=told.values)
    if (refusal := CORPUS.judge(Subject(text, language=language))) is not None:
        yield Verdict(reason=Reason(refusal.reason), values=refusal.values)
    yield limited(Reason.TRIVIAL, limits, min_code_size=code_size(code), min_code_share=code_share(code, data))
    if wrong is not None:
        yield wrong
    yield limited(Reason.STUBS, limits, max_stub_share=stub_share(code, language))
    yield limited(
        Reason.REPETITIVE, limits, min_distinct_share=distinct_share(text), min_compressed_share=compressed_share(data)
    )
    words, structure = shares_of_seed(text, seed, language)
    yield limited(Reason.COPY_OF_SEED, limits, max_shared_words=words, max_shared_structure=structure)


def limited(reason: Reason, limits: Limits, **figures: float) -> Verdict:
    """Refused for the reason if one of the figures is outside its limit, by whose name it is given."""
    values: Values = {}
    is_outside = False
    for name, figure in figures.items():
        side, _, measure = name.partition("_")
        limit = getattr(limits, name)
        is_outside |= figure < limit if side == "min" else figure > limit
        values |= {measure: round(figure, 4), name: limit}
    return Verdict(reason=reason if is_outside else None, values=values)


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
