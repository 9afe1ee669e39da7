"""A rubric: what a judge is asked about a file, and how its answer is read.

Always holds: a rubric is known by its name and version; a label has a number within the scale for each criterion, or there
is no label.
"""

import json
import re
from importlib.resources import files
from typing import Annotated, Any

import msgspec

from generators.errors import RubricError
from generators.recipes.recipe import Name, Sampling
from streamer.documents.toml_text import parse_toml, read_text
from streamer.errors import TomlError
from streamer.wording import did_you_mean

PLACES = ("{language}", "{file}")
OBJECT = re.compile(r"\{[^{}]*\}")
MOST_ANSWER = 1 << 16  # characters of an answer that are looked at, its last ones


class Rubric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge is asked.

    Attributes:
        name: What it is called.
        version: A number that is raised whenever the prompt, the scale or the criteria change.
        prompt: The message to the judge, with `{language}` and `{file}`. It has to ask for a last line of JSON with a number
            for each criterion.
        criteria: By name, what each criterion says. A file's score is the mean over them.
        lowest: The lowest number of the scale.
        highest: The highest number of the scale.
        file_characters: How much of a file a prompt has at most.
        sampling: How the judge chooses tokens.
    """

    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=10**6)]
    prompt: Annotated[str, msgspec.Meta(max_length=20_000)]
    criteria: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=16)]
    lowest: float = 0.0
    highest: float = 5.0
    file_characters: Annotated[int, msgspec.Meta(ge=200, le=10**6)] = 12_000
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)

    def __post_init__(self) -> None:
        missing = [place for place in PLACES if place not in self.prompt]
        if missing:
            raise RubricError(
                f"prompt of rubric {self.name} has no {' and no '.join(missing)}; write them where they belong"
            )
        if not self.lowest < self.highest:
            raise RubricError(
                f"rubric {self.name} has lowest {self.lowest:g} and highest {self.highest:g}; give a scale that rises"
            )

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name}/{self.version}"

    @property
    def template(self) -> str:
        """The prompt as one of a job, in which the file is the seed."""
        return self.prompt.replace("{file}", "{seed}")

    def read(self, answer: str) -> dict[str, float] | None:
        """The numbers of an answer by criterion; None where it has none, or one outside the scale.

        The last JSON object that names all criteria counts, so that drafts before it do not.
        """
        for found in reversed(OBJECT.findall(answer[-MOST_ANSWER:])):
            try:
                value: Any = json.loads(found)
            except ValueError:
                continue
            if not isinstance(value, dict) or not self.criteria.keys() <= value.keys():
                continue
            points = [value[name] for name in self.criteria]
            if all(isinstance(one, int | float) and not isinstance(one, bool) for one in points):
                is_within = all(self.lowest <= one <= self.highest for one in points)
                return dict(zip(self.criteria, map(float, points), strict=True)) if is_within else None
        return None


def built_in() -> dict[str, Rubric]:
    """The rubrics that come with the package, by name."""
    found = [place for place in files("generators.judging").iterdir() if place.name.endswith(".toml")]
    rubrics = [parse_rubric(place.read_text(), name=place.name) for place in found]
    return {rubric.name: rubric for rubric in sorted(rubrics, key=lambda rubric: rubric.name)}


def parse_rubric(text: str, *, name: str) -> Rubric:
    """A rubric from TOML. Raises: RubricError that names the key."""
    try:
        return msgspec.convert(parse_toml(text), Rubric)
    except (TomlError, msgspec.ValidationError) as error:
        known = Rubric.__struct_fields__
        unknown = str(error).partition("unknown field `")[2].partition("`")[0]
        near = did_you_mean(unknown, [*known, *Sampling.__struct_fields__]) if unknown else ""
        raise RubricError(f"{name}: {error}; the keys are {', '.join(known)}{near}") from error


def find_rubric(word: str) -> Rubric:
    """The rubric that is called so, or of a TOML file. Raises: RubricError."""
    if word.endswith(".toml"):
        try:
            return parse_rubric(read_text(word), name=f"rubric {word}")
        except (OSError, UnicodeDecodeError, TomlError) as error:
            raise RubricError(f"rubric {word} cannot be read ({error}); give a TOML file") from error
    found = built_in()
    if word not in found:
        raise RubricError(
            f"rubric {word} is unknown; there are {', '.join(found)}, or name a TOML file{did_you_mean(word, found)}"
        )
    return found[word]
