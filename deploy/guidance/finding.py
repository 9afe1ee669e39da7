"""What a check of this machine found."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "note", "mend"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `mend`: phasemix fails without it. `note`: good to know. `said` has the remedy."""

    check: str
    state: State
    said: str
