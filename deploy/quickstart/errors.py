"""What a quickstart refuses."""

from streamer.errors import PhasemixError


class QuickstartError(PhasemixError):
    """A folder, a name or a place that a quickstart cannot work with; nothing has been written."""
