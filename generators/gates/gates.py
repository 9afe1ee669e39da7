"""The gates in order of cost: what an engine wrote to a verdict.

Always holds: the same completion, job and accepted files give the same verdict; the first gate that refuses names the
reason. Workers ask the gates that need nothing but the job; that a file is no near-duplicate the publisher asks, which
knows all accepted files.
"""

import re

from rensa import RMinHash, RMinHashLSH

from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.gates.syntax import parses

FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|[0-9]+|[^\sA-Za-z_0-9]")
SHINGLE = 5
NUM_HASHES, NUM_BANDS = 128, 32
NEAR = 0.7
COPY = 0.8


def strip_chatter(text: str) -> str:
    """The longest fenced block, or the whole text when there is no fence."""
    blocks = FENCE.findall(text)
    return (max(blocks, key=len) if blocks else text).strip("\n") + "\n"


def shingles(text: str) -> list[str]:
    """Runs of five tokens of code; the whole text when it has fewer."""
    words = WORD.findall(text)
    return [" ".join(words[place : place + SHINGLE]) for place in range(max(1, len(words) - SHINGLE + 1))]


def containment(text: str, seed: str) -> float:
    """The share of a text's shingles that its seed has too."""
    mine = set(shingles(text))
    return len(mine & set(shingles(seed))) / len(mine)


class Accepted:
    """Signatures of the files accepted before; finds near-duplicates (Jaccard of about 0.7 and above)."""

    def __init__(self) -> None:
        self._index = RMinHashLSH(threshold=NEAR, num_perm=NUM_HASHES, num_bands=NUM_BANDS)
        self._signatures: list[RMinHash] = []
        self._identities: set[str] = set()

    def is_near(self, text: str) -> bool:
        signature = sign(text)
        return any(signature.jaccard(self._signatures[found]) >= NEAR for found in self._index.query(signature))

    def __contains__(self, identity: str) -> bool:
        return identity in self._identities

    def add(self, identity: str, text: str) -> None:
        signature = sign(text)
        self._index.insert(len(self._signatures), signature)
        self._signatures.append(signature)
        self._identities.add(identity)


def sign(text: str) -> RMinHash:
    signature = RMinHash(num_perm=NUM_HASHES, seed=1)
    signature.update(shingles(text))
    return signature


def judge(job: Job, completion: Completion) -> Verdict:
    """The verdict of the gates that need no other file. `Accepted` has the last one, which the publisher asks."""
    if completion.finish_reason != "stop":
        return Verdict(reason=Reason.CUT_OFF)
    text = strip_chatter(completion.text)
    if not text.strip():
        return Verdict(reason=Reason.EMPTY)
    seed, language = job.text, job.language
    if language == NOTEBOOK:  # kept as the script that the corpus has of a notebook, whichever of the two was written
        text, seed, language = as_script(text), as_script(seed), "python"
    if not parses(text, language):
        return Verdict(reason=Reason.DOES_NOT_PARSE)
    if containment(text, seed) >= COPY:
        return Verdict(reason=Reason.COPY_OF_SEED)
    return Verdict(text=text)
