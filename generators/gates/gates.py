"""The gates in order of cost: what an engine wrote to a verdict.

Always holds: the same completion, job and accepted files give the same verdict; the first gate that refuses names the
reason. Workers ask the gates that need nothing but the job. The publisher, which knows the root and all accepted files, asks
whether a file has a task of a benchmark in it and whether it is a near-duplicate.
"""

import re

import numpy as np

from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.gates.syntax import parses
from streamer.likeness.code_words import code_words, shingle_hashes
from streamer.likeness.near_duplicates import USUAL, DuplicateIndex, Signatures, sign

FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
COPY = 0.8


def strip_chatter(text: str) -> str:
    """The longest fenced block, or the whole text when there is no fence."""
    blocks = FENCE.findall(text)
    return (max(blocks, key=len) if blocks else text).strip("\n") + "\n"


def containment(text: str, seed: str, language: str) -> float:
    """The share of a text's runs of five code words that its seed has too."""
    mine, theirs = (shingle_hashes(code_words(each, language).numbers, USUAL.shingle) for each in (text, seed))
    return float(np.isin(np.unique(mine), theirs).mean())


class Accepted:
    """The files of one language that were accepted before, by the rule of the corpus."""

    def __init__(self, language: str) -> None:
        self._language, self._index = language, DuplicateIndex()
        self._identities: set[str] = set()

    def is_near(self, text: str) -> bool:
        """Whether a text equals one of them, or nearly so."""
        return self._index.find(text, self._language, self._sign(text)) is not None

    def __contains__(self, identity: str) -> bool:
        return identity in self._identities

    def add(self, identity: str, text: str) -> None:
        self._index.keep(text, self._language, self._sign(text))
        self._identities.add(identity)

    def _sign(self, text: str) -> Signatures:
        signature: Signatures = sign([text], [self._language])[0]
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
    if containment(text, seed, language) >= COPY:
        return Verdict(reason=Reason.COPY_OF_SEED)
    return Verdict(text=text)
