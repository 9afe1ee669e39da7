"""What can go wrong between a seed document and a published file.

PhasemixError
|- GeneratorError
   |- EngineError          an engine that refuses a request, or answers what is no completion
   |  |- EngineAwayError   no endpoint of an engine answers
   |- QueueError           a queue that cannot be reached
   |- OrderError           a standing order that names no documents or wants nothing
"""

from streamer.errors import PhasemixError


class GeneratorError(PhasemixError):
    """Root of this package's errors."""


class EngineError(GeneratorError):
    """An engine that refuses a request, or answers what is no completion."""


class EngineAwayError(EngineError):
    """No endpoint of an engine answers."""


class QueueError(GeneratorError):
    """A queue that cannot be reached."""


class OrderError(GeneratorError):
    """A standing order that names no documents or wants nothing."""
