"""Where an answer ends: what a model writes behind the function that was asked for is no part of the answer.

Always holds: an answer is the same whether the model was stopped early or wrote on to its last token.

Source: the stops of evalplus 0.3.1 for base models, and a top-level `if`, decorator and Markdown fence.
"""

from typing import NamedTuple, Protocol

from training.evaluation.tasks import MBPP, Task

ENDED, LENGTH, TOO_LONG = "ended", "length", "prompt_too_long"
ALWAYS = ("\nprint(", "\nif __name__", "\n```", "\ndef main(", "<|endoftext|>", "<|endofmask|>", "</s>")
FROM_SCRATCH = ('\n"""', "\nassert", *ALWAYS)
INSIDE = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\nimport ", "\nfrom ", "\nassert ", "\n@", *ALWAYS)


class Written(NamedTuple):
    """What a model wrote. `end`: ended, length (its tokens ran out) or prompt_too_long."""

    text: str
    end: str


class Scored(NamedTuple):
    """How well a model foretells a text: nats, and bytes of the text."""

    nats: float
    text_bytes: int


class Writer(Protocol):
    """A model that continues prompts. `concurrency`: how many threads ask it at once."""

    name: str
    concurrency: int

    def write(self, prompt: str, stops: tuple[str, ...], max_new_tokens: int) -> Written: ...

    def score(self, prompt: str, continuation: str) -> Scored | None:
        """None when the text is longer than the context, the tokenizer changes it, or the model does not tell."""


def stops_of(task: Task) -> tuple[str, ...]:
    """What ends an answer, the most telling first. MBPP's prompt is only a docstring: functions have to follow it."""
    return FROM_SCRATCH if task.kind == MBPP else INSIDE


def cut(text: str, stops: tuple[str, ...]) -> str:
    """The text before the first stop, with spaces for tabs, which the prompts' indentation consists of."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(found, default=None)].replace("\t", "    ")
