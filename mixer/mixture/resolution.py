"""A mixture and a catalog to exact shares.

Always holds: shares are exact rationals until the last step, then integers that sum to ONE, the same on every machine; a
stream is in one component; nothing that would not resolve passes.

How: what is no rational, tokens^(1/T), is a decimal of 50 digits whose steps are each rounded as IEEE 854 says.
"""

import fnmatch
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from mixer.faults import Fault, Path
from mixer.mixture.curve import weigh_tiers
from mixer.mixture.mixture import Component, Mixture, count_tokens, globs
from mixer.mixture.plan import Plan
from mixer.order.shares import to_shares
from streamer.catalog.manifest import Snapshot
from streamer.wording import did_you_mean, listed, shown

DIGITS = Context(prec=50, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, traps=[])
PINS_WITHIN = Fraction(1, 10**9)  # of 1 they are taken to be 1, as people write thirds; `mixture_file` refuses more


class Row(NamedTuple):
    """A stream that a component takes: what it holds and, under best_tokens or best_share, gives at most, in samples.

    `weight`: how often a token of it is asked for beside one of weight 1.
    """

    name: str
    key: str
    samples: int
    limit: int | None
    max_passes: int | None
    weight: Fraction = Fraction(1)

    @property
    def gives(self) -> int:
        return self.samples if self.limit is None else self.limit

    @property
    def asks(self) -> Fraction:
        return self.weight * self.gives


def resolve(mixture: Mixture, reference: str, snapshots: Sequence[Snapshot]) -> tuple[Plan, list[Fraction]]:
    """The plan, and its shares before they are rounded to 1/ONE.

    Raises: Fault, which names the component, the key and the remedy.
    """
    taken: dict[str, str] = {}
    rows: list[tuple[Row, Fraction, Component]] = []
    shapes: dict[tuple[str | None, str | None], str] = {}
    for number, component in enumerate(mixture.component):
        path: Path = ("component", number)
        matched = match(component, snapshots)
        check_matches(path, component, matched, snapshots)
        for snapshot in matched:
            if snapshot.name in taken:
                said = f"stream {snapshot.name} is also in component {taken[snapshot.name]}; exclude it from one"
                raise Fault((*path, "streams"), f" = {shown(component.streams)}: {said}")
            taken[snapshot.name] = component.label
            check_seq_len(path, mixture, snapshot)
            shapes.setdefault((snapshot.dtype, snapshot.tokenizer), snapshot.name)
        check_pins(path, component, matched)
        check_annotators(path, component, matched)
        chosen = [row for row in rows_of(path, component, matched, snapshots) if row.limit != 0 and row.weight]
        of_run = Fraction(str(component.share))
        rows += [
            (row, share * of_run, component)
            for row, share in zip(chosen, inner_shares(path, component, chosen, snapshots), strict=True)
        ]
    if len(shapes) > 1:
        said = ", ".join(f"{name} {dtype} of tokenizer {tokenizer}" for (dtype, tokenizer), name in shapes.items())
        raise Fault(("component",), f": its streams differ in dtype or tokenizer: {said}; exclude those of one")
    ((dtype, tokenizer),) = shapes
    exact = [share for _, share, _ in rows]
    plan = Plan(
        mixture=reference,
        streams=[row.name for row, _, _ in rows],
        shares=to_shares(exact),
        component=[component.label for _, _, component in rows],
        max_passes=[row.max_passes for row, _, _ in rows],
        limit=[row.limit for row, _, _ in rows],
        when_dry=[component.when_dry for _, _, component in rows],
        dtype=dtype or "uint16",
        tokenizer=tokenizer,
    )
    total = sum(exact)  # 1 but for 1e-9
    return plan, [share / total for share in exact]


def match(component: Component, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    def hit(name: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    taken, left = globs(component.streams), globs(component.exclude)
    return [s for s in snapshots if s.kind == "tokens" and hit(s.name, taken) and not hit(s.name, left)]


def check_matches(path: Path, component: Component, matched: list[Snapshot], snapshots: Sequence[Snapshot]) -> None:
    """Raises: MixtureError for a glob that takes nothing."""
    names = [snapshot.name for snapshot in snapshots if snapshot.kind == "tokens"]
    for place, glob in enumerate(globs(component.streams)):
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            here: Path = (*path, "streams", *(() if isinstance(component.streams, str) else (place,)))
            first = sorted({name.split("/")[0] + "/*" for name in names})
            remedy = did_you_mean(glob, [*first, *names]) or "; name one of these, or publish to it first"
            have = listed(first) or "none"
            raise Fault(here, f" = {shown(glob)}: no stream matches; the catalog has {have}{remedy}")
    if not matched:
        said = f"no stream is left of {shown(component.streams)}; exclude fewer"
        raise Fault((*path, "exclude"), f" = {shown(component.exclude)}: {said}")


def check_pins(path: Path, component: Component, matched: list[Snapshot]) -> None:
    """Raises: MixtureError for a pin of what the component does not have, or has twice."""
    names, keys = {snapshot.name: snapshot.key for snapshot in matched}, {snapshot.key for snapshot in matched}
    for pin, share in component.pin.items():
        if pin not in keys and pin not in names:
            said = f"it names no key and no stream of the component; its keys are {listed(sorted(keys))}"
            near = did_you_mean(pin, [*keys, *names]) or "; pin one of these"
            raise Fault((*path, "pin", pin), f" = {share:g}: {said}{near}")
        if names.get(pin) in component.pin:
            said = f"pin.{names[pin]} holds that stream already; leave one of the two out"
            raise Fault((*path, "pin", pin), f" = {share:g}: {said}")


def check_annotators(path: Path, component: Component, matched: list[Snapshot]) -> None:
    """Raises: Fault where tiers are compared whose documents different versions of annotators scored."""
    keys = {"curve": component.curve, "best_tokens": component.best_tokens, "best_share": component.best_share}
    key = next((name for name, value in keys.items() if value not in (None, UNSET)), None)
    if key is None:
        return
    scored: dict[str, tuple[str, str]] = {}  # of each set of tiers, such as scored@mine: a stream, and who scored it
    for snapshot in matched:
        label = next((str(part.extra["annotator"]) for part in snapshot.parts if "annotator" in part.extra), None)
        if label is not None:
            scored.setdefault(snapshot.name.partition("/")[0], (snapshot.name, label))
    if len({label for _, label in scored.values()}) > 1:
        said = listed(f"{name} is scored by {label}" for name, label in scored.values())
        raise Fault((*path, key), f": {said}, and their tiers cannot be compared; take the streams of one of them")


def check_seq_len(path: Path, mixture: Mixture, snapshot: Snapshot) -> None:
    if snapshot.seq_len != mixture.seq_len:
        said = f"stream {snapshot.name} has seq_len {snapshot.seq_len}, the mixture {mixture.seq_len}"
        raise Fault((*path, "streams"), f": {said}; exclude it, or see phasemix corpus repack")


def rows_of(path: Path, component: Component, matched: list[Snapshot], snapshots: Sequence[Snapshot]) -> list[Row]:
    """What each stream gives, weighs and is capped at, under `curve` or `best_tokens` and `best_share`."""
    if isinstance(component.curve, UnsetType):
        return best_rows(path, component, matched)
    names = [snapshot.name for snapshot in snapshots if snapshot.kind == "tokens"]
    weighed = weigh_tiers((*path, "curve"), component.curve, [snapshot.name for snapshot in matched], names)
    return [
        Row(snapshot.name, snapshot.key, snapshot.samples, None, cap or component.max_passes, weight)
        for snapshot, (weight, cap) in zip(matched, weighed, strict=True)
    ]


def best_rows(path: Path, component: Component, matched: list[Snapshot]) -> list[Row]:
    """What each stream may give under `best_tokens` or `best_share`: whole bins from the top, then the first of the next.

    The budget is split by the keys' tokens, to within one sample.
    """
    rows = [Row(snapshot.name, snapshot.key, snapshot.samples, None, component.max_passes) for snapshot in matched]
    if component.best_tokens is None and not isinstance(component.best_share, float):
        return rows
    seq_len, have = matched[0].seq_len or 1, sum(row.samples for row in rows)
    key = "best_share" if component.best_tokens is None else "best_tokens"
    if component.best_tokens is None:
        budget = int(Fraction(str(component.best_share)) * have)
    else:
        budget = count_tokens(component.best_tokens, "best_tokens") // seq_len
    if not 1 <= budget <= have:
        said = f" = {shown(getattr(component, key))} is {budget:,} samples; the streams hold {have:,} samples"
        least = f"ask for at least {seq_len:,} tokens and at most that"
        raise Fault((*path, key), f"{said} ({have * seq_len:,} tokens): {least}")
    by_key: dict[str, int] = {}
    for row in rows:
        by_key[row.key] = by_key.get(row.key, 0) + row.samples
    exact = {key: Fraction(budget * samples, have) for key, samples in sorted(by_key.items())}
    quota = {key: int(value) for key, value in exact.items()}
    for key in sorted(quota, key=lambda key: (quota[key] - exact[key], key))[: budget - sum(quota.values())]:
        quota[key] += 1
    limits: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: bin_rank(row.name)):
        limits[row.name] = min(row.samples, quota[row.key])
        quota[row.key] -= limits[row.name]
    return [row._replace(limit=limits[row.name]) for row in rows]


def bin_rank(name: str) -> tuple[int, str]:
    """Best bin first: `scored/python/q95` before `scored/python/q80`."""
    found = re.search(r"/q([0-9]+)$", name)
    return (-int(found[1]) if found else 1, name)


def inner_shares(path: Path, component: Component, rows: list[Row], snapshots: Sequence[Snapshot]) -> list[Fraction]:
    """Shares inside a component, summing to 1, pins applied."""
    weights = weigh(path, component, rows, snapshots)
    if not any(weights):
        weights = [row.weight for row in rows]  # nothing published yet
    groups = pin_groups(path, component, rows)
    pins = {name: Fraction(str(value)) for name, value in component.pin.items()}
    sums: dict[str | None, Fraction] = {}
    counts: dict[str | None, int] = {}
    for weight, group in zip(weights, groups, strict=True):
        sums[group], counts[group] = sums.get(group, Fraction(0)) + weight, counts.get(group, 0) + 1
    pinned = sum(pins.values(), Fraction(0))
    if pinned > 1 or (1 - pinned <= PINS_WITHIN and not sums.get(None)):
        pins = {name: value / pinned for name, value in pins.items()}
    rest = 1 - sum(pins.values(), Fraction(0))
    if rest and not sums.get(None):
        said = (
            f"its pins sum to {float(1 - rest):g} and it has tokens of no other key for the rest; make them sum to 1, or "
            "leave pin out"
        )
        raise Fault((*path, "pin"), f": {said}")

    def share(weight: Fraction, group: str | None) -> Fraction:
        whole = rest if group is None else pins[group]
        if not whole:
            return Fraction(0)
        return whole * weight / sums[group] if sums[group] else whole / counts[group]

    return [share(weight, group) for weight, group in zip(weights, groups, strict=True)]


def pin_groups(path: Path, component: Component, rows: list[Row]) -> list[str | None]:
    """The pin that holds each stream's share: its name's, else its key's, else None. Raises: MixtureError."""
    given = {row.key for row in rows} | {row.name for row in rows}
    for pin in component.pin.keys() - given:
        raise Fault((*path, "pin", pin), f" = {component.pin[pin]:g}: nothing of it is taken; leave it out")
    return [next((pin for pin in (row.name, row.key) if pin in component.pin), None) for row in rows]


def weigh(path: Path, component: Component, rows: list[Row], snapshots: Sequence[Snapshot]) -> list[Fraction]:
    """What each stream asks for, before pins."""
    if isinstance(component.within, dict):
        return [Fraction(str(given_weight(path, component.within, row))) for row in rows]
    if component.within == "equal":
        return [Fraction(1)] * len(rows)
    if component.within == "tokens":
        return [row.asks for row in rows]
    by_key: dict[str, Fraction] = {}
    for row in rows:
        by_key[row.key] = by_key.get(row.key, Fraction(0)) + row.asks
    if component.within == "like":
        wanted = weigh_like(path, component, list(by_key), snapshots)
    else:
        assert isinstance(component.temperature, float)
        wanted = {key: root(int(samples), component.temperature) for key, samples in by_key.items()}
    streams = Counter(row.key for row in rows)
    return [
        wanted[row.key] * (row.asks / by_key[row.key] if by_key[row.key] else Fraction(1, streams[row.key])) for row in rows
    ]


def weigh_like(path: Path, component: Component, keys: list[str], snapshots: Sequence[Snapshot]) -> dict[str, Fraction]:
    """What the streams of `like` have of each key, in samples. Raises: Fault when they have nothing of one."""
    assert not isinstance(component.like, UnsetType)
    others = match(Component(streams=component.like, share=1.0), snapshots)
    if not others:
        raise Fault((*path, "like"), f" = {shown(component.like)}: no stream matches; name streams that have tokens")
    found: Counter[str] = Counter()
    for snapshot in others:
        found[snapshot.key] += snapshot.samples
    for key in keys:
        if not found[key] and key not in component.pin:
            said = f"they have no tokens of key {key}; exclude its streams, pin it, or name other streams"
            raise Fault((*path, "like"), f" = {shown(component.like)}: {said}")
    return {key: Fraction(found[key]) for key in keys}


def given_weight(path: Path, weights: Mapping[str, float], row: Row) -> float:
    for name in (row.name, row.key):
        if name in weights:
            return weights[name]
    raise Fault((*path, "within"), f" has no weight for stream {row.name}; give one for it or its key {row.key}")


def root(samples: int, temperature: float) -> Fraction:
    """samples^(1/temperature) to 50 digits: ln, quotient and exp are each correctly rounded, so equal on every machine."""
    if not samples:
        return Fraction(0)
    logarithm = DIGITS.divide(DIGITS.ln(Decimal(samples)), Decimal(str(temperature)))
    return Fraction(DIGITS.exp(logarithm))
