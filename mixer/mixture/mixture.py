"""A mixture as a value, and in its types the whole grammar of what a file may say.

Always holds: what a mixture says that format mixture/1 could not say is absent, not empty, where it is not said.

How: of a type's `Meta` errors say `title` and `examples` (faults.py); editors show the `description` too.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mixer.errors import MixtureError
from mixer.faults import Fault, dotted
from streamer.catalog.names import check_word
from streamer.wording import plain

SUFFIXES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
END = r"$(?!\n)"  # of a pattern: `$` alone would let a last line break through
WORD = r"^[a-z0-9][a-z0-9._-]{0,63}"
Word = Annotated[
    str, Meta(pattern=WORD + END, title="one word of a-z, 0-9 and '._-', at most 64 long", examples=["enhanced"])
]
Share = Annotated[float, Meta(ge=0, le=1, title="a number from 0 to 1", examples=[0.5])]
Weight = Annotated[float, Meta(ge=0, le=1e12, title="a number from 0 to 1e12", examples=[3])]
Passes = Annotated[int, Meta(ge=1, le=2**31 - 1, title="a whole number from 1 to 2147483647", examples=[4])]
TierName = Annotated[
    str, Meta(pattern="^q[0-9]{2}" + END, title="q and the tier's lower percentile in two digits", examples=["q95"])
]
Glob = Annotated[str, Meta(min_length=1, max_length=400, title="a glob that is not empty", examples=["raw/*"])]
Count = Annotated[str, Meta(pattern=r"^[0-9][0-9_]*(\.[0-9]+)?[KMBT]?" + END, max_length=32)]


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a quality curve gives the tiers from one percentile up to its next one."""

    weight: Annotated[Weight, Meta(description="How often a token is seen beside one of weight 1.")]
    max_passes: Annotated[Passes, Meta(description="Of these tiers, at most the component's.")] | UnsetType = UNSET


Step = Annotated[
    Weight | Tier,
    Meta(title="a number from 0 to 1e12, or a table of weight and max_passes", examples=[4, {"weight": 4, "max_passes": 4}]),
]
Curve = Literal["top-heavy"] | dict[TierName, Step]


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Streams of the catalog and their share of the run's tokens."""

    streams: Annotated[
        Glob | Annotated[list[Glob], Meta(min_length=1)],
        Meta(
            title="a glob such as 'raw/*', or a list that names at least one",
            description="The streams of the component: a glob over the catalog's names, or a list; * crosses /.",
            examples=["raw/*"],
        ),
    ]
    share: Annotated[Share, Meta(description="Of the run's tokens. The shares of all components sum to 1 within 1e-9.")]
    exclude: Annotated[
        Glob | list[Glob],
        Meta(
            title="a glob such as 'raw/*', or a list of globs",
            description="Globs of streams that are left out.",
            examples=["raw/sql/*"],
        ),
    ] = []
    name: Annotated[
        Word | None,
        Meta(
            title="one word of a-z, 0-9 and '._-', at most 64 long",
            description="What errors and settings call the component; its own. By default the first word of its first glob.",
            examples=["raw"],
        ),
    ] = None
    within: Annotated[
        Literal["tokens", "equal", "temperature", "like"] | dict[str, Weight],
        Meta(
            title="'tokens', 'equal', 'temperature', 'like' or a table of weights by stream or key",
            description="How the component's streams share: by unique tokens, equally, by weights, or keys by tokens^(1/T) "
            "or by the tokens that other streams have of them.",
            examples=["tokens", {"python": 3, "go": 1}],
        ),
    ] = "tokens"
    pin: Annotated[
        dict[str, Share],
        Meta(
            title="a table of shares by key or stream",
            description="Shares of this component that are fixed, by key (second word) or whole stream name; the other keys "
            "keep their proportions to each other.",
            examples=[{"python": 0.5}],
        ),
    ] = {}
    best_tokens: Annotated[
        Count | Annotated[int, Meta(ge=1, le=10**18)] | None,
        Meta(
            title="a number of tokens from 1 to 1e18, such as 12500000 or '12.5B'",
            description="The best tokens of each key up to this sum, the keys' shares in the corpus kept.",
            examples=["12.5B"],
        ),
    ] = None
    max_passes: Annotated[
        Passes | None,
        Meta(
            title="a whole number from 1 to 2147483647",
            description="How often a sample of the component may be seen, by the run and the runs that it goes on from. "
            "Without it there is no limit.",
            examples=[4],
        ),
    ] = None
    when_dry: Annotated[
        Literal["stop", "wait", "share"],
        Meta(
            title="'stop', 'wait' or 'share'",
            description="At max_passes: the run ends, waits for new parts, or the stream's share goes to the others.",
            examples=["stop"],
        ),
    ] = "stop"
    temperature: Annotated[
        Annotated[float, Meta(ge=0.1, le=1000)] | UnsetType,
        Meta(
            title="a number from 0.1 to 1000",
            description="T of within = 'temperature': a key gets tokens^(1/T). 1 is 'tokens', more is flatter.",
            examples=[3.0],
        ),
    ] = UNSET
    like: Annotated[
        Glob | Annotated[list[Glob], Meta(min_length=1)] | UnsetType,
        Meta(
            title="a glob such as 'raw/*', or a list that names at least one",
            description="The streams of within = 'like': a key gets what they have of its tokens.",
            examples=["raw/*"],
        ),
    ] = UNSET
    best_share: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | UnsetType,
        Meta(
            title="a number above 0 and at most 1",
            description="The same as best_tokens, as a fraction of the component's tokens.",
            examples=[0.03],
        ),
    ] = UNSET
    curve: Annotated[
        Curve | UnsetType,
        Meta(
            title="'top-heavy' or a table of weights by tier",
            description="How often tokens of one quality tier are seen beside those of another: a curve that comes along, "
            "or weights, each from its tier up to the next one that is named. Lower tiers are left out.",
            examples=["top-heavy", {"q95": 4, "q80": 2, "q40": {"weight": 1, "max_passes": 2}}],
        ),
    ] = UNSET

    @property
    def label(self) -> str:
        """`name`, or the first word of the first glob."""
        return self.name or next(iter(globs(self.streams)), "").split("/")[0]


class Mixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe for shares over streams."""

    name: Annotated[Word, Meta(description="What versions of this mixture are called: name@1, name@2, ...")]
    seq_len: Annotated[
        int,
        Meta(
            ge=1,
            le=2**24,
            title="a whole number from 1 to 16777216",
            description="Tokens of a sample; every stream must have it.",
            examples=[8192],
        ),
    ]
    component: Annotated[
        list[Annotated[Component, Meta(title="a table [[component]]")]],
        Meta(
            min_length=1,
            max_length=1000,
            title="one or more tables [[component]]",
            description="Globs over the catalog, each with its share of the run's tokens.",
            examples=[[{"streams": "raw/*", "share": 1.0}]],
        ),
    ]


def globs(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def count_tokens(value: str | int, where: str) -> int:
    """Tokens of `"12.5B"`, `"40M"` or a number. Raises: MixtureError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMBT]?)", str(value).replace("_", ""))
    if not found or len(found[1]) > 32:
        raise MixtureError(f"{where}: {value!r} is not a number of tokens; write it like 12500000 or 12.5B")
    return int(Fraction(found[1]) * SUFFIXES.get(found[2], 1))


def split_reference(reference: str) -> tuple[str, int | None]:
    """("enhanced", 3) of `enhanced@3`, ("enhanced", None) of `enhanced`. Raises: MixtureError."""
    name, at, version = reference.partition("@")
    check_word(name, what="mixture")
    if at and not (version.isascii() and version.isdigit() and len(version) < 10 and version[0] != "0"):
        raise MixtureError(f"{reference!r}: a version is a number from 1, as in {name}@1")
    return name, int(version) if at else None


def document_of(mixture: Mixture) -> dict[str, Any]:
    """The mixture as a file says it, without what only repeats a default."""
    found: dict[str, Any] = msgspec.to_builtins(mixture)
    default = msgspec.to_builtins(Component(streams="", share=0.0))
    found["component"] = [
        {key: value for key, value in component.items() if key not in default or value != default[key] or key == "share"}
        for component in found["component"]
    ]
    return found


def say(fault: Fault, document: Mapping[str, Any]) -> str:
    """`component synthetic, pin.python = 2: it must be ...`."""
    if fault.of[:1] != ("component",) or len(fault.of) < 2:
        return f"{dotted(fault.of) or 'the mixture'}{fault.said}"
    label = label_of(document["component"][fault.of[1]])
    called = f"component {plain(label)}" if label else f"component number {int(fault.of[1]) + 1}"
    return called + (f", {dotted(fault.of[2:])}" if fault.of[2:] else "") + fault.said


def label_of(component: Any) -> str:
    """`name`, or the first word of the first glob; whatever the document holds."""
    if not isinstance(component, Mapping):
        return ""
    if component.get("name"):
        return str(component["name"])
    globs = component.get("streams")
    first = globs[0] if isinstance(globs, list) and globs else globs
    return first.split("/")[0] if isinstance(first, str) else ""
