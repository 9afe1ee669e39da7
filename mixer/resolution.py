"""A mixture and a catalog to exact shares.

Always holds: shares are exact rationals until the last step, then integers that sum to ONE; a stream is in one
component; nothing that would not resolve passes.
"""

import fnmatch
import re
from fractions import Fraction

import msgspec

from mixer.errors import MixtureError
from mixer.mixture import Component, Mixture, count_tokens, globs
from mixer.slots import to_shares
from streamer.manifest import Snapshot


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a mixture means at one moment. All lists are parallel to `streams`; `limit` in samples."""

    mixture: str
    streams: list[str]
    shares: list[int]
    component: list[str]
    max_passes: list[int | None]
    limit: list[int | None]
    when_dry: list[str]
    dtype: str
    tokenizer: str | None


def resolve(mixture: Mixture, reference: str, snapshots: list[Snapshot]) -> Plan:
    """Raises: MixtureError that names the component and the remedy."""
    taken: dict[str, str] = {}
    rows: list[tuple[Snapshot, Fraction, Component, int | None]] = []
    for component in mixture.component:
        where = f"mixture {reference}, component {component.label}"
        matched = match(component, snapshots)
        if not matched:
            have = ", ".join(sorted({s.name.split("/")[0] + "/*" for s in snapshots})) or "none"
            raise MixtureError(f"{where}: no stream matches {component.streams!r}; the catalog has {have}")
        for snapshot in matched:
            if snapshot.name in taken:
                raise MixtureError(
                    f"{where}: stream {snapshot.name} is also in component {taken[snapshot.name]}; exclude it from one"
                )
            taken[snapshot.name] = component.label
            check_shape(where, mixture, snapshot)
        limits = best_limits(where, component, matched)
        chosen = [(s, limit) for s, limit in zip(matched, limits, strict=True) if limit != 0]
        for (snapshot, limit), share in zip(chosen, inner_shares(where, component, chosen), strict=True):
            rows.append((snapshot, share * Fraction(str(component.share)), component, limit))
    shapes = {(snapshot.dtype, snapshot.tokenizer) for snapshot, *_ in rows}
    if len(shapes) > 1:
        raise MixtureError(
            f"mixture {reference}: its streams have different dtypes or tokenizers: {sorted(map(str, shapes))}"
        )
    (dtype, tokenizer) = shapes.pop()
    return Plan(
        mixture=reference,
        streams=[snapshot.name for snapshot, *_ in rows],
        shares=to_shares([share for _, share, _, _ in rows]),
        component=[component.label for _, _, component, _ in rows],
        max_passes=[component.max_passes for _, _, component, _ in rows],
        limit=[limit for *_, limit in rows],
        when_dry=[component.when_dry for _, _, component, _ in rows],
        dtype=dtype or "uint16",
        tokenizer=tokenizer,
    )


def match(component: Component, snapshots: list[Snapshot]) -> list[Snapshot]:
    def hit(name: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    return [
        snapshot
        for snapshot in snapshots
        if snapshot.kind == "tokens"
        and hit(snapshot.name, globs(component.streams))
        and not hit(snapshot.name, globs(component.exclude))
    ]


def check_shape(where: str, mixture: Mixture, snapshot: Snapshot) -> None:
    if snapshot.seq_len != mixture.seq_len:
        raise MixtureError(
            f"{where}: stream {snapshot.name} has seq_len {snapshot.seq_len}, the mixture {mixture.seq_len}; exclude it or "
            "pack it again"
        )


def best_limits(where: str, component: Component, matched: list[Snapshot]) -> list[int | None]:
    """Samples that each stream may give under `best_tokens`: whole bins from the top, then the first of the next.

    The budget is split by the languages' tokens, to within one sample.
    """
    if component.best_tokens is None:
        return [None] * len(matched)
    seq_len = matched[0].seq_len or 1
    budget = count_tokens(component.best_tokens, f"{where}: best_tokens") // seq_len
    have = sum(snapshot.samples for snapshot in matched)
    if not 1 <= budget <= have:
        raise MixtureError(
            f"{where}: best_tokens = {component.best_tokens} is {budget:,} samples; the streams hold {have:,} samples "
            f"({have * seq_len:,} tokens): ask for at least {seq_len:,} and at most that"
        )
    keys = sorted({snapshot.key for snapshot in matched})
    by_key = {key: sum(s.samples for s in matched if s.key == key) for key in keys}
    exact = {key: Fraction(budget * by_key[key], have) for key in keys}
    quota = {key: int(exact[key]) for key in keys}
    for key in sorted(keys, key=lambda key: (quota[key] - exact[key], key))[: budget - sum(quota.values())]:
        quota[key] += 1
    limits: dict[str, int] = {}
    for snapshot in sorted(matched, key=bin_rank):
        limits[snapshot.name] = min(snapshot.samples, quota[snapshot.key])
        quota[snapshot.key] -= limits[snapshot.name]
    return [limits[snapshot.name] for snapshot in matched]


def bin_rank(snapshot: Snapshot) -> tuple[int, str]:
    """Best bin first: `scored/python/q95` before `scored/python/q80`."""
    found = re.search(r"/q([0-9]+)$", snapshot.name)
    return (-int(found[1]) if found else 1, snapshot.name)


def inner_shares(where: str, component: Component, chosen: list[tuple[Snapshot, int | None]]) -> list[Fraction]:
    """Shares inside a component, summing to 1, pins applied."""
    weights = [weight_of(where, component, snapshot, limit) for snapshot, limit in chosen]
    if not sum(weights):
        weights = [Fraction(1)] * len(chosen)  # nothing published yet: equal
    keys = [snapshot.key for snapshot, _ in chosen]
    for key in component.pin:
        if key not in keys:
            raise MixtureError(f"{where}: pin.{key} names no stream of it; its keys are {', '.join(sorted(set(keys)))}")
    pins = {key: Fraction(str(value)) for key, value in component.pin.items()}
    free = sum((w for w, key in zip(weights, keys, strict=True) if key not in pins), Fraction(0))
    rest = 1 - sum(pins.values(), Fraction(0))
    if rest and not free:
        raise MixtureError(f"{where}: its pins sum to {float(1 - rest):g} and no other key has tokens; make them sum to 1")
    shares = []
    for weight, key in zip(weights, keys, strict=True):
        if key in pins:
            same = [w for w, other in zip(weights, keys, strict=True) if other == key]
            shares.append(pins[key] * (weight / sum(same) if sum(same) else Fraction(1, len(same))))
        else:
            shares.append(rest * weight / free if rest else Fraction(0))
    return shares


def weight_of(where: str, component: Component, snapshot: Snapshot, limit: int | None) -> Fraction:
    if component.within == "tokens":
        return Fraction(snapshot.samples if limit is None else limit)
    if component.within == "equal":
        return Fraction(1)
    assert isinstance(component.within, dict)
    for name in (snapshot.name, snapshot.key):
        if name in component.within:
            return Fraction(str(component.within[name]))
    raise MixtureError(f"{where}: within has no weight for stream {snapshot.name}; give one for it or its key")
