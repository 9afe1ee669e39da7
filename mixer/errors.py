"""What can go wrong between a mixture and its batches.

PhasemixError
|- MixerError
   |- MixtureError   a mixture that is absent, malformed, or does not resolve against the catalog
   |- RunError       a run that is absent, exists otherwise, or is asked for what it cannot give
      |- StepError   a step outside what the ledger may hold now; names the furthest one allowed
      |- RunEnded    the run has no more batches; names stream, cap and step
      |- WaitError   a stream has run dry, its component waits for parts, and none came in time
   |- ServiceAwayError  a mixer service that cannot be reached, or whose store is away
   |- AccessError    tokens that cannot be used, or a service that would be open to everybody
"""

from streamer.errors import PhasemixError


class MixerError(PhasemixError):
    """Root of this package's errors."""


class MixtureError(MixerError):
    """A mixture that is absent, malformed, or does not resolve."""


class RunError(MixerError):
    """A run that is absent, exists otherwise, or cannot give what is asked."""


class StepError(RunError):
    """A step before 0 or beyond what the ledger may hold now."""


class RunEnded(RunError):
    """The run has no more batches."""


class WaitError(RunError):
    """New parts of a dry stream did not come in time."""


class ServiceAwayError(MixerError):
    """A mixer service that cannot be reached, or whose store is away."""


class AccessError(MixerError):
    """Tokens that cannot be used, or a service that would be open to everybody."""
