"""Shares asked for as a person says them, `synthetic=40% python=50%`, as settings of a mixture.

Always holds: the shares that result are the ones asked for, exactly up to the rounding of a float; what was not named is
rescaled in proportion. What cannot be met is refused with the range that can.

How: a component that is named gets its share, and the other components share what is left as they did before. A language's
share is of the whole run. Components that hold nothing else give it what they have, and every other component that holds it
gets the same pin, so that its remaining languages keep their proportions to each other.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mixer.errors import MixtureError
from mixer.mixture.mixture import Component, Mixture
from mixer.mixture.plan import Plan
from streamer.wording import did_you_mean, listed, plain, shown

SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(%?)")
Keys = Mapping[str, set[str]]  # of each component, by its label: the languages that it holds


def parse_wanted(texts: Iterable[str]) -> dict[str, str]:
    """`["synthetic=40%", "python=0.5"]` as {"synthetic": "40%", "python": "0.5"}. Raises: MixtureError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise MixtureError(f"{shown(text)} is not a share; write NAME=SHARE, such as python=50% or synthetic=0.4")
        if name in found:
            raise MixtureError(f"{plain(name)} is given twice, {found[name]} and {shown(value)}; give it once")
        found[name] = value
    return found


def share_of(name: str, value: str | float) -> Fraction:
    """A share from 0 to 1 of `"40%"`, `"0.4"` or 0.4. Raises: MixtureError."""
    found = SHARE.fullmatch(str(value))
    share = None if found is None or len(found[1]) > 32 else Fraction(found[1]) / (100 if found[2] else 1)
    if share is None or share > 1:
        raise MixtureError(f"{plain(name)} = {shown(value)} is not a share; write it from 0% to 100%, or from 0 to 1")
    return share


def settings_for(
    mixture: Mixture, plan: Plan, exact: Sequence[Fraction], wanted: Mapping[str, str | float]
) -> dict[str, Any]:
    """Settings such as {"synthetic.share": 0.4, "raw.pin.python": 0.5} that give a mixture the shares asked for.

    Args: plan, what the mixture means now; exact, the shares of its streams; wanted, shares by a component's label or by
    language. Raises: MixtureError.
    """
    shares = {component.label: Fraction(str(component.share)) for component in mixture.component}
    held: dict[str, dict[str, Fraction]] = {label: {} for label in shares}
    for stream, label, share in zip(plan.streams, plan.component, exact, strict=True):
        key = key_of(stream)
        held[label][key] = held[label].get(key, Fraction(0)) + share
    keys = {label: set(by_key) for label, by_key in held.items()}
    asked = {name: share_of(name, value) for name, value in wanted.items()}
    languages = [name for name in asked if is_language(name, keys)]
    after = rescale(shares, {name: share for name, share in asked.items() if name not in languages})
    found: dict[str, Any] = {f"{label}.share": float(share) for label, share in after.items() if share != shares[label]}
    pins: dict[str, dict[str, Fraction]] = {}
    for name in languages:
        for label, pin in pins_for(name, asked[name], after, keys).items():
            pins.setdefault(label, {})[name] = pin
    for component in mixture.component:
        if component.label in pins:
            new = pins[component.label]
            new = {**scaled_pins(component, held[component.label], new), **new}
            found |= {f"{component.label}.pin.{name}": float(pin) for name, pin in new.items()}
    return found


def key_of(stream: str) -> str:
    return stream.split("/")[1]


def scaled_pins(component: Component, held: Mapping[str, Fraction], new: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The component's other pins, so that what is not asked for keeps its proportions. `held`: shares by language."""
    whole = sum(held.values(), Fraction(0))
    others = whole - sum((held[name] for name in new), Fraction(0))
    if not others:
        return {}
    factor = (1 - sum(new.values(), Fraction(0))) * whole / others
    return {
        pin: max(Fraction(0), Fraction(str(share)) * factor)
        for pin, share in component.pin.items()
        if pin not in new and (key_of(pin) if "/" in pin else pin) not in new
    }


def is_language(name: str, keys: Keys) -> bool:
    """Whether a name is a language, and not a component. Raises: MixtureError for one that is neither, or both."""
    known = {key for held in keys.values() for key in held}
    if name not in known and name not in keys:
        near = did_you_mean(name, [*keys, *known])
        raise MixtureError(
            f"{plain(name)} is neither a component nor a language of the mixture; its components are {listed(keys)}, "
            f"its languages {listed(sorted(known))}{near}"
        )
    elsewhere = any(name in held for label, held in keys.items() if label != name)
    if name in known and name in keys and (elsewhere or keys[name] != {name}):
        raise MixtureError(
            f"{name} is a component and a language; change one of them with mixtures edit --set {name}.share=... or "
            f"--set COMPONENT.pin.{name}=..."
        )
    return name not in keys


def rescale(shares: Mapping[str, Fraction], asked: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The components' shares with those asked for; the others keep their proportions. Raises: MixtureError."""
    if not asked:
        return dict(shares)
    total = sum(asked.values(), Fraction(0))
    others = sum((share for label, share in shares.items() if label not in asked), Fraction(0))
    said = listed((f"{label} {percent(share)}" for label, share in asked.items()), " + ")
    if total > 1:
        raise MixtureError(f"{said} is {percent(total)}; the shares asked for can be at most 100 %, lower one")
    if total < 1 and not others:
        raise MixtureError(
            f"{said} is {percent(total)} and no other component has a share that could take the rest; make them 100 %"
        )
    return {
        label: asked[label] if label in asked else share * (1 - total) / (others or 1) for label, share in shares.items()
    }


def pins_for(key: str, share: Fraction, shares: Mapping[str, Fraction], keys: Keys) -> dict[str, Fraction]:
    """The pin of a language in each component that holds it beside others. Raises: MixtureError."""
    whole = sum((shares[label] for label, held in keys.items() if held == {key}), Fraction(0))
    mixed = [label for label, held in keys.items() if key in held and len(held) > 1 and shares[label]]
    most = whole + sum((shares[label] for label in mixed), Fraction(0))
    if not whole <= share <= most:
        holding = listed(label for label, held in keys.items() if key in held)
        span = percent(most) if whole == most else f"{percent(whole)} to {percent(most)}"
        raise MixtureError(
            f"{key} = {percent(share)} cannot be: it is in {holding} alone, which can give {span} of the tokens; ask for "
            "that, or change those components' shares too"
        )
    return dict.fromkeys(mixed, (share - whole) / (most - whole)) if most > whole else {}


def percent(share: Fraction) -> str:
    """`37.5 %`."""
    return f"{float(share) * 100:.6g} %"
