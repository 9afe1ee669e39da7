"""What can go wrong between a seed document and a published file.

PhasemixError
|- GeneratorError
   |- EngineError          what came of a request, or of all endpoints
   |  |- JobRefusedError   this job will get no better answer, which ends it
   |  |- NoCompletionError an answer that is no completion, which ends the job too; no other error does
   |  |- BusyError         overloaded: ask later
   |  |- AwayError         no answer, or one that says the engine is broken: ask later
   |  |- WrongError        a wrong key, address or model: somebody must mend it
   |  |- EngineAwayError   no endpoint may be asked now
   |- QueueError           a queue that cannot be reached
   |- OrderError           a standing order that names no documents or wants nothing
   |- RecipeError          a recipe with an unknown key, or one that a root does not have
   |- RubricError          a rubric with an unknown key, or labels that cannot be read
"""

from streamer.errors import PhasemixError


class GeneratorError(PhasemixError):
    """Root of this package's errors."""


class EngineError(GeneratorError):
    """What came of a request to an engine, or of all its endpoints."""


class JobRefusedError(EngineError):
    """The engine refuses this job and would refuse it again."""


class NoCompletionError(EngineError):
    """An answer that is no completion. `text`: how it begins."""

    def __init__(self, said: str, text: str) -> None:
        super().__init__(said)
        self.text = text


class BusyError(EngineError):
    """The endpoint has too much to do. `wait_s`: how long it asks to wait, None when it does not say."""

    def __init__(self, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.wait_s = wait_s


class AwayError(EngineError):
    """The endpoint does not answer, or says that it is broken. `status`: of HTTP, None without an answer."""

    def __init__(self, said: str, status: int | None = None) -> None:
        super().__init__(said)
        self.status = status


class WrongError(EngineError):
    """The endpoint does not take the key, the address or the model. `is_of_model`: it is the model that it does not have."""

    def __init__(self, said: str, *, is_of_model: bool = False) -> None:
        super().__init__(said)
        self.is_of_model = is_of_model


class EngineAwayError(EngineError):
    """No endpoint may be asked now."""


class QueueError(GeneratorError):
    """A queue that cannot be reached."""


class OrderError(GeneratorError):
    """A standing order that names no documents or wants nothing."""


class RecipeError(GeneratorError):
    """A recipe with an unknown key, or one that a root does not have."""


class RubricError(GeneratorError):
    """A rubric with an unknown key, or labels that cannot be read."""
