"""Every object that outlives a process says its format; one that this version does not know is refused by name."""

from streamer.errors import PhasemixError


def check_format(error: type[PhasemixError], what: str, found: object, *known: str) -> None:
    """Raises: that error when a format is not among those that are known, the newest of which is the last."""
    if found not in known:
        up_to = "up to " if len(known) > 1 else ""
        raise error(f"{what} has format {found}; this version reads {up_to}{known[-1]}: update phasemix")
