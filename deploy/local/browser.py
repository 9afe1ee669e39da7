"""Opens the dashboard in the user's browser, or says at which address it can be opened."""

from __future__ import annotations

import os
import sys
import webbrowser

CHOSEN, SCREENS = "BROWSER", ("DISPLAY", "WAYLAND_DISPLAY")


def open_dashboard(address: str) -> bool:
    """Whether a browser was started. Where none can be, one line says why and names the address."""
    if can_show() and webbrowser.open(address):
        return True
    chosen = os.environ.get(CHOSEN)
    why = f"The browser that {CHOSEN} names, {chosen}, cannot be started" if chosen else "No browser was found here"
    print(f"phasemix: {why}. The services run; open {address} yourself.", file=sys.stderr)
    return False


def can_show() -> bool:
    """Whether a browser may be looked for. Without a screen Linux offers those for terminals, which run no scripts."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in (CHOSEN, *SCREENS))
