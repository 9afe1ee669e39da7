"""The filters of a corpus as data: every gate with its thresholds, and what differs by language.

Always holds: gates are asked in order of cost, and the first that refuses names the reason; a language's gates are those
of all with that language's own values over them; an unknown key, gate or language is refused when the recipe is read.
"""

from typing import Any

import msgspec

from streamer.documents.languages import LANGUAGES
from streamer.gates.characters import EncodedData, FewLetters
from streamer.gates.generated import Generated
from streamer.gates.licences import LicenceAlone
from streamer.gates.lines import Data, LongLines, TooManyLines
from streamer.gates.origin import BuildOutput, Vendored
from streamer.gates.subject import Gate, Refusal, Subject
from streamer.gates.syntax import DoesNotParse

Changes = dict[str, dict[str, dict[str, Any]]]

# What differs from the values of all languages. Shares of error bytes: such that of good files at most 5 % are refused,
# measured on real ones (docs/benchmarks.md, "Filters").
DEFAULTS: Changes = {
    "c": {"does_not_parse": {"max_error_share": 0.4}},  # macros
    "cpp": {"does_not_parse": {"max_error_share": 0.4}},
    "jupyter-notebook": {"long_lines": {"max_mean_characters": 200, "max_characters": 5000}},  # paragraphs of one line
    "scala": {"does_not_parse": {"max_error_share": 0.3}},
    "sql": {"data": {"max_share": 0.5}, "does_not_parse": {"max_error_share": 0.6}},  # dialects and templates
    "swift": {"does_not_parse": {"max_error_share": 0.25}},
}


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which gates a file must pass, in the order in which they are asked.

    Each key is a table of one gate: `on` turns the gate off, the other keys are its thresholds.

    Attributes:
        vendored: Refuses copies of other projects, by folders such as `node_modules` and by names such as `jquery.js`.
        build_output: Refuses what compilers and bundlers of JavaScript and TypeScript wrote: by folders such as `_cjs`, by
            source maps, by the first lines of compilers, and by a TypeScript source of the same name; also declarations
            that a compiler wrote beside their script.
        generated: Refuses what a program wrote, by marks in the comments of the first `head_lines` lines and by the name.
        too_many_lines: Refuses a file of more than `max_lines` lines.
        long_lines: Refuses a file of which lines of more than `max_characters` are more than the share `max_long_share`, or
            whose lines have more than `max_mean_characters` on average and the longest four times as many.
        few_letters: Refuses a file of whose visible characters less than the share `min_share` are letters.
        encoded_data: Refuses data in base64, hex pairs or escapes, when it is more than the share `max_share` of a file and
            has more than `max_characters`; for a single run of base64 or escapes half that share is too much.
        data: Refuses a file of more than `max_lines` lines of which more than the share `max_share` are values.
        licence_alone: Refuses a licence in a file with no more than `max_code_characters` of code and `max_other_characters`
            of other comments. A file of more than `max_characters` is not looked at.
        does_not_parse: Refuses a file when more than the share `max_error_share` of its bytes is what its language's grammar
            has no place for. Of a longer file the first `max_bytes` are looked at, and eight times as many where these
            are refused.
        languages: What differs by language: `[filters.languages.sql.does_not_parse]` with `max_error_share = 0.5` holds for
            SQL alone. Some languages have values of their own already; what is given here is laid over them.
    """

    vendored: Vendored = Vendored()
    build_output: BuildOutput = BuildOutput()
    generated: Generated = Generated()
    too_many_lines: TooManyLines = TooManyLines()
    long_lines: LongLines = LongLines()
    few_letters: FewLetters = FewLetters()
    encoded_data: EncodedData = EncodedData()
    data: Data = Data()
    licence_alone: LicenceAlone = LicenceAlone()
    does_not_parse: DoesNotParse = DoesNotParse()
    languages: Changes = {}

    def __post_init__(self) -> None:
        for language, changes in self.languages.items():
            if language not in LANGUAGES:
                raise ValueError(f"languages.{language} is none of the languages {', '.join(LANGUAGES)}; correct its name")
            for gate, values in changes.items():
                if gate not in GATES:
                    raise ValueError(f"languages.{language}.{gate} does not name a gate; the gates are {', '.join(GATES)}")
                changed(getattr(self, gate), values, f"languages.{language}.{gate}")


GATES = tuple(name for name in Filters.__struct_fields__ if name != "languages")


def changed(gate: Gate, values: dict[str, Any], where: str) -> Gate:
    """A gate with other values. Raises: ValueError that names the key."""
    try:
        return msgspec.convert({**msgspec.structs.asdict(gate), **values}, type(gate))
    except msgspec.ValidationError as error:
        known = ", ".join(type(gate).__struct_fields__)
        raise ValueError(f"{where}: {error}; its keys are {known}") from error


class LanguageGates:
    """The gates of each language: those of all, with what `DEFAULTS` and then the recipe say of the language over them."""

    def __init__(self, filters: Filters) -> None:
        self._gates = {language: choose_gates(filters, language) for language in LANGUAGES}

    def judge(self, subject: Subject) -> Refusal | None:
        """The refusal of the first gate that refuses, or None."""
        refusals = (gate.judge(subject) for gate in self._gates[subject.language])
        return next((refusal for refusal in refusals if refusal is not None), None)


def choose_gates(filters: Filters, language: str) -> tuple[Gate, ...]:
    """The gates of a language that are on, in the order in which they are asked."""
    found = []
    for name in GATES:
        own = DEFAULTS.get(language, {}).get(name, {})
        given = filters.languages.get(language, {}).get(name, {})
        found.append(changed(getattr(filters, name), {**own, **given}, name))
    return tuple(gate for gate in found if gate.on)
