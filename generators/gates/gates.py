"""The gates in order of cost: what an engine wrote to a verdict.

Always holds: the same completion, job and accepted files give the same verdict; the first gate that refuses names the
reason. Workers ask the gates that need nothing but the job. The publisher, which knows the root, asks whether a
file has a task of a benchmark in it and whether it nearly equals a document of the corpus or a file accepted before.
"""

import re

import numpy as np

from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.gates.syntax import parses
from streamer.likeness.code_words import code_words, shingle_hashes
from streamer.likeness.near_duplicates import USUAL

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


def judge(job: Job, completion: Completion) -> Verdict:
    """The verdict of the gates that need no other file. `KnownFiles` tells near-duplicates, for the publisher."""
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
