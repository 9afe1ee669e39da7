"""What a regular expression can cost at worst, read off its syntax tree: whether its time is linear in the text.

A pattern is linear when no choice of how far a repeat goes can be tried against the whole text more than a fixed number of
times. Four rules, which are stricter than they need to be:

- a repeat without an upper bound holds no other such repeat, unless both are possessive;
- behind a repeat that may give back, no second one follows before a character that the first cannot match;
- a pattern that is searched for, at every place of a text, scans no stretch twice: before each of its repeats stands a
  character that the repeat cannot match, or a line's beginning before one that matches no line end, or nothing behind
  the repeat can fail;
- or the repeat ends with words that the pattern also begins with, so that no two scans can both fail.
"""

import itertools
import re
from re import _constants as names  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

ALPHABET = frozenset([*map(chr, range(256)), "\u0660", "\u2003", "\u4e00"])
FEW = 64  # repeats of at most so many are no repeats here
MOST_PATHS = 5000


class Atom(NamedTuple):
    """One step of a way through a pattern: what it matches, and how often."""

    chars: frozenset[str]
    optional: bool = False
    unbounded: bool = False
    possessive: bool = False
    assertion: Any = None  # of width 0: the place that it names, such as AT_BEGINNING


def find_fault(pattern: str | bytes, *, searched: bool, flags: int = 0) -> str | None:
    """Why a pattern may take more than linear time, or None."""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    state = parser.State()
    tree = parser.parse(text, flags, state)
    flags = state.flags | flags
    try:
        paths = list(itertools.islice(walk(list(tree), flags), MOST_PATHS + 1))
    except Nested as nested:
        return str(nested)
    if len(paths) > MOST_PATHS:
        return "more ways through it than are looked at"
    return next((fault for path in paths if (fault := fault_of(path, flags, searched)) is not None), None)


class Nested(Exception):
    """A repeat without bound inside another one."""


def fault_of(path: list[Atom], flags: int, searched: bool) -> str | None:
    first = path[0].assertion if path else None
    one_start = not searched or first is names.AT_BEGINNING_STRING or (
        first is names.AT_BEGINNING and not flags & re.MULTILINE
    )  # fmt: skip
    for place, atom in enumerate(path):
        if not atom.unbounded:
            continue
        before, behind = path[:place], path[place + 1 :]
        ends = "".join(literals(behind))
        if ends and ends in "".join(literals(before)):
            continue
        if not atom.possessive:
            for other in behind:
                if other.unbounded and other.chars & atom.chars:
                    return f"repeat {place} may give back to a later repeat"
                if not other.optional and other.assertion is None and not other.chars & atom.chars:
                    break
        can_fail = any(not other.optional for other in behind)
        line_start = any(other.assertion is names.AT_BEGINNING for other in before) and "\n" not in atom.chars
        fenced = any(not o.optional and o.assertion is None and not o.chars & atom.chars for o in before) or line_start
        if not one_start and can_fail and not fenced:
            return f"repeat {place} may scan the same stretch from many starts"
    return None


def literals(path: list[Atom]) -> list[str]:
    """The characters that a path begins with, as far as each can be but one."""
    certain = itertools.takewhile(lambda atom: len(atom.chars) == 1 and not atom.optional and not atom.unbounded, path)
    return [next(iter(atom.chars)) for atom in certain]


def walk(nodes: list[Any], flags: int) -> Any:
    """Every way through a sequence, as lists of atoms; a repeat of a group is one atom of all that is in it."""
    if not nodes:
        yield []
        return
    for head in step(nodes[0], flags):
        for rest in walk(nodes[1:], flags):
            yield head + rest


def step(node: Any, flags: int) -> Any:
    kind, value = node
    if kind in (names.MAX_REPEAT, names.MIN_REPEAT, names.POSSESSIVE_REPEAT):
        least, most, body = value
        inner = list(walk(list(body), flags))
        if most == names.MAXREPEAT or most > FEW:
            possessive = kind is names.POSSESSIVE_REPEAT
            for atom in itertools.chain.from_iterable(inner):
                if atom.unbounded and not (possessive and atom.possessive):
                    raise Nested("a repeat without bound lies in another one")
            chars = frozenset(itertools.chain.from_iterable(a.chars for path in inner for a in path))
            yield [Atom(chars, optional=not least, unbounded=True, possessive=possessive)]
        else:
            if not least:
                yield []
            for path in inner:
                yield path * min(most, 2)
    elif kind is names.BRANCH:
        for branch in value[1]:
            yield from walk(list(branch), flags)
    elif kind is names.SUBPATTERN:
        yield from walk(list(value[-1]), flags | value[1])
    elif kind is names.ATOMIC_GROUP:
        for path in walk(list(value), flags):
            yield [atom._replace(possessive=True) for atom in path]
    elif kind is names.AT:
        yield [Atom(frozenset(), assertion=value)]
    elif kind in (names.ASSERT, names.ASSERT_NOT):
        for path in walk(list(value[1]), flags):
            if any(atom.unbounded for atom in path):
                raise Nested("a look ahead has a repeat without bound")
        yield [Atom(frozenset(), assertion=kind)]
    else:
        yield [Atom(chars_of(node, flags))]


def chars_of(node: Any, flags: int) -> frozenset[str]:
    """The characters of the alphabet that one item matches."""
    kind, value = node
    if kind is names.ANY:
        return ALPHABET if flags & re.DOTALL else ALPHABET - {"\n"}
    if kind in (names.LITERAL, names.NOT_LITERAL):
        found = frozenset({chr(value), chr(value).lower(), chr(value).upper()} if flags & re.IGNORECASE else {chr(value)})
        return found if kind is names.LITERAL else ALPHABET - found
    if kind is names.RANGE:
        return frozenset(char for char in ALPHABET if value[0] <= ord(char) <= value[1])
    if kind is names.CATEGORY:
        classes = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
        word = str(value).removeprefix("CATEGORY_")
        one = classes[word.removeprefix("NOT_")]
        found = frozenset(char for char in ALPHABET if re.match(one, char, flags & re.ASCII))
        return ALPHABET - found if word.startswith("NOT_") else found
    assert kind is names.IN, node
    items = [item for item in value if item[0] is not names.NEGATE]
    found = frozenset(itertools.chain.from_iterable(chars_of(item, flags) for item in items))
    return ALPHABET - found if value[0][0] is names.NEGATE else found
