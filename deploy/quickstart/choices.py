"""What a quickstart chooses for a folder, and why, in words for the person.

Always holds: a choice depends on what the folder holds alone.
"""

from __future__ import annotations

import math

import msgspec

from deploy.quickstart.errors import QuickstartError
from deploy.quickstart.folder import Folder
from streamer.packing.grouping import random_key
from streamer.publishing.heldout import is_held_out, place_of
from streamer.wording import listed

LEAST_KB = 100
SEQ_LEN = 256  # that of the recipe `laptop`: then other mixtures and trainings fit without a word
LEAST_HELD_OUT, MOST_HELD_OUT = 0.02, 0.3  # of the bytes
MOST_SHARE = 0.5  # of the repositories, the recipe's limit
GLOBAL_BATCH, SEED = 16, 17
LEAST_OTHERS = 0.1  # of the bytes: then the other languages fill half of the tokens without many passes
MAX_PASSES = 4  # Arctic-SnowCoder, table 6: no gain beyond four repetitions


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """`max_mb`: how much is read, None for all; `heldout_share`: of the repositories, which are `held_out`."""

    seq_len: int
    heldout_share: float
    held_out: list[str]
    max_mb: float | None


def choose(folder: Folder, *, max_mb: float, seq_len: int | None = None) -> Choices:
    """Raises: QuickstartError when the folder holds too little to mix."""
    if folder.bytes < LEAST_KB * 1000:
        raise QuickstartError(
            f"{folder.path} holds {folder.bytes / 1000:,.0f} kB of source; a quickstart needs at least {LEAST_KB} kB, "
            "name a folder that holds more"
        )
    cut = folder.bytes > max_mb * 1e6 or not folder.is_whole
    repositories = read_whole(folder.repositories, max_mb) if cut else folder.repositories
    share, held_out = choose_held_out(repositories, folder.places)
    return Choices(
        seq_len=seq_len or SEQ_LEN,
        heldout_share=share,
        held_out=held_out,
        max_mb=max_mb if cut else None,
    )


def read_whole(repositories: dict[str, int], max_mb: float) -> dict[str, int]:
    """The repositories that a source of so many megabytes reads to their ends, in the order in which it reads them."""
    left, found = max_mb * 1e6, dict[str, int]()
    for name in sorted(repositories, key=lambda name: random_key(SEED, name.rpartition("/")[2])):
        left -= repositories[name]
        if left < 0:
            break
        found[name] = repositories[name]
    return found


def choose_held_out(repositories: dict[str, int], places: dict[str, set[str]]) -> tuple[float, list[str]]:
    """The least share of repositories that holds out enough of the bytes, but nowhere all of a language, and which.

    (0, []) where there is none. `places`: the repositories in which each language lies.
    """
    whole, held = sum(repositories.values()), 0
    for repository in sorted(repositories, key=place_of):
        held += repositories[repository]
        share = math.ceil(place_of(repository) * 10_000) / 10_000
        names = {name for name in repositories if is_held_out(name, share=share)}
        if held > MOST_HELD_OUT * whole or share > MOST_SHARE or any(place <= names for place in places.values()):
            break
        if held >= LEAST_HELD_OUT * whole:
            return share, sorted(names)
    return 0.0, []


def describe(folder: Folder, choices: Choices) -> list[str]:
    """The lines that a person reads before the work begins."""
    shown = [f"{name} {files:,} ({size / 1e6:.1f} MB)" for name, (files, size) in list(folder.languages.items())[:6]]
    more = f" and {len(folder.languages) - 6} more languages" if len(folder.languages) > 6 else ""
    least = "" if folder.is_whole else "at least "
    lines = [f"{least}{folder.files:,} source files of {folder.bytes / 1e6:,.1f} MB: {', '.join(shown)}{more}"]
    if folder.others:
        lines.append(f"{folder.others:,} other files are passed over")
    if folder.unreadable:
        lines.append(f"{folder.unreadable:,} folders may not be read and are passed over")
    if choices.max_mb is not None:
        lines.append(f"at most {choices.max_mb:g} MB of them are read, folders in random order; --max-mb takes more")
    lines.append(
        f"samples of {choices.seq_len} tokens, documents packed one behind the other; --seq-len takes another length"
    )
    if choices.held_out:
        lines.append(f"held out for evaluation, in no other stream: {listed(choices.held_out)}")
    else:
        lines.append(
            "nothing is held out: each entry is too large or has all files of a language; the training is not evaluated"
        )
    return lines


def mixture_text(name: str, folder: Folder, choices: Choices) -> str:
    """The commented mixture of all languages."""
    first, *others = folder.languages
    pin = (
        f"{f'# pin = {{ {first} = 0.5 }}':<30}# half of it is {first}, the others keep their proportions\n" if others else ""
    )
    return f"""# The mixture of `phasemix quickstart`. Change it, then:
#   phasemix mixtures apply {name}.toml          makes the next version, {name}@2; the old one stays
#   phasemix mixtures preview {name} --tokens 1M   shares and passes over that many tokens
name = "{name}"
{f"seq_len = {choices.seq_len}":<30}# tokens of a sample, as the corpus was packed

[[component]]
streams = "raw/*"             # every language; to list them: phasemix streams list
share = 1.0                   # of all samples; the shares of all components make up 1
{pin}{f"max_passes = {MAX_PASSES}":<30}# no sample is seen more often
when_dry = "share"            # a stream that is used up leaves its share to the others; or "stop", or "wait"
"""


def first_edit(folder: Folder) -> str:
    """A change of the mixture to try: a pin, but only where the other languages have enough to fill the rest."""
    first, *others = folder.languages
    enough = sum(folder.languages[name][1] for name in others) >= LEAST_OTHERS * folder.bytes
    return f"raw.pin.{first}=0.5" if enough else "raw.max_passes=2"
