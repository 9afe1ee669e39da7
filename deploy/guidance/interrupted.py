"""What is said after Control-C: what is kept, and how to go on.

Always holds: it is one line. A training says it itself, because it knows its step.
"""

from __future__ import annotations

PUBLISHED = "what was published before stays, and nothing is half written. `phasemix streams list` shows what is there"
WRITTEN = "what was written before stays, and nothing is half written. The same command can be typed again"
KEPT = {
    "up": "nothing is left running. `phasemix up` starts again",
    "down": "some services may still run. `phasemix status` shows them, `phasemix down` stops them",
    "corpus": "what was done before stays, and nothing is half written. The same command goes on from there",
    "tokenizer": WRITTEN,
    "annotator": WRITTEN,
    "streams": PUBLISHED,
    "mixtures": WRITTEN,
    "runs": WRITTEN,
    "generators": WRITTEN,
    "evaluate": "what was answered is kept. The same command goes on from there",
}


def what_is_kept(noun: str) -> str:
    """The line after Control-C during a command of that noun."""
    return f"interrupted; {KEPT[noun]}" if noun in KEPT else "interrupted"
