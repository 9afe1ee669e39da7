"""`phasemix runs show --watch`: a run's target beside its realised shares, drawn again as its ledger grows.

Always holds: no line is longer than the terminal is wide, no picture higher than it is; elsewhere each change is one line.
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence

from mixer.errors import RunError
from mixer.runs.run_info import RunInfo
from mixer.runs.runs import Runs
from mixer.runs.stream_use import StreamUse
from streamer.commands.table import one_line, shorten

INTERVALS_S = (0.1, 86400.0)
LEAST_BAR = 4
SIGNS = {True: ("█", "│"), False: ("#", "|")}  # realised, target; of a terminal that has them, and of others


def watch(runs: Runs, name: str, *, interval_s: float, group: str, as_json: bool) -> None:
    """Draws until the run ends or Ctrl-C. Raises: RunError for an unknown run or an interval that is too short or long."""
    least, most = INTERVALS_S
    if not least <= interval_s <= most:
        raise RunError(f"--interval {interval_s:g} is outside {least:g} to {most:g} seconds; give one inside")
    seen, drawn, on_terminal = None, 0, sys.stdout.isatty() and not as_json
    while True:
        info = runs.show(name)
        now = (info.end_step, info.ended, info.paused, info.mixture, shutil.get_terminal_size() if on_terminal else None)
        if now != seen:
            seen, rows = now, shares_of(runs.use(name), group)
            if on_terminal:
                lines = picture(info, rows, *shutil.get_terminal_size())
                print((f"\x1b[{drawn}F" if drawn else "") + "".join(f"\x1b[2K{line}\n" for line in lines), end="\x1b[J")
                drawn = len(lines)
            elif as_json:
                shares = {name: {"target": target, "realised": realised} for name, target, realised in rows}
                print(json.dumps({"end_step": info.end_step, "ended": info.ended, "paused": info.paused, "shares": shares}))
            else:
                shares_now = ", ".join(f"{name} {realised:.4f} of {target:.4f}" for name, target, realised in rows)
                print(f"{heading(info)}: {shares_now}")
            sys.stdout.flush()
        if info.ended is not None:
            return
        time.sleep(interval_s)


def shares_of(uses: Sequence[StreamUse], group: str) -> list[tuple[str, float, float]]:
    """(name, target share, realised share) of each stream or key, those that have either."""
    found: dict[str, list[float]] = {}
    for use in uses:
        sums = found.setdefault(use.stream if group == "stream" else use.stream.split("/")[1], [0.0, 0.0])
        sums[0] += use.target_samples
        sums[1] += use.realised_samples
    targets, realised = (sum(sums[place] for sums in found.values()) or 1.0 for place in (0, 1))
    return [(name, sums[0] / targets, sums[1] / realised) for name, sums in found.items() if any(sums)]


def heading(info: RunInfo) -> str:
    """A run's state in a few words."""
    return one_line(f"{info.name}, {info.mixture}, {info.end_step:,} batches, {info.state_line}")


def picture(info: RunInfo, rows: Sequence[tuple[str, float, float]], columns: int, lines: int) -> list[str]:
    """The heading and a bar a row: realised filled, target marked, the longest as long as there is room."""
    room = max(1, lines - 2)  # the heading, and the line on which the cursor stands
    shown = rows if len(rows) <= room else rows[: room - 1]
    most = max((max(target, realised) for _, target, realised in rows), default=1.0)
    names = min(max((len(name) for name, *_ in rows), default=0), max(8, columns // 3))
    numbers = " target  real. "
    length = columns - 1 - names - len(numbers)
    found = [shorten(heading(info), columns - 1)]
    for name, target, realised in shown:
        line = f"{shorten(name, names):<{names}} {target:6.2%} {realised:6.2%} "
        found.append((line + (bar(target / most, realised / most, length) if length >= LEAST_BAR else ""))[: columns - 1])
    if len(shown) < len(rows):
        found.append(f"and {len(rows) - len(shown):,} more"[: columns - 1])
    return found


def bar(target: float, realised: float, length: int) -> str:
    """Parts of 1 as a bar of up to `length` characters."""
    full, mark = SIGNS[(sys.stdout.encoding or "").lower().startswith("utf")]
    filled = round(realised * length)
    signs = [full if place < filled else " " for place in range(length)]
    signs[min(length - 1, round(target * length))] = mark
    return "".join(signs).rstrip()
