"""Replaces what is private in a text, and counts it.

Always holds: the same text and settings give the same result; what stands in the place of something is not found again;
all else stays, character for character. What was replaced appears in no record: of each kind only the count is kept.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from streamer.privacy.addresses import find_addresses, stand_in
from streamer.privacy.emails import find_emails
from streamer.privacy.scanner import find_secrets
from streamer.privacy.span import Kind, Span, merge

PLACEHOLDERS = {Kind.KEY: "<KEY>", Kind.PASSWORD: "<PASSWORD>", Kind.EMAIL: "<EMAIL>"}


class Privacy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is replaced in the text of a document before it is kept.

    Attributes:
        secrets: Replaces keys, tokens and private keys by `<KEY>` and passwords by `<PASSWORD>`.
        emails: Replaces e-mail addresses by `<EMAIL>`. Those of example domains and such as `git@github.com` stay.
        ip_addresses: Replaces IP addresses by addresses that are reserved for documentation; the same address in a file
            always by the same. Private and special ranges, popular resolvers and numbers that are versions stay.
    """

    secrets: bool = True
    emails: bool = True
    ip_addresses: bool = True


class Replaced(NamedTuple):
    """A text without what was private, and how many places of each kind were replaced."""

    text: str
    counts: Counter[Kind]

    @property
    def words(self) -> str:
        """The counts as a document keeps them, such as `key=1 email=2`; empty when nothing was replaced."""
        return " ".join(f"{kind}={self.counts[kind]}" for kind in Kind if self.counts[kind])


def read_counts(words: str) -> Counter[str]:
    """The counts that `Replaced.words` wrote."""
    pairs = (word.partition("=") for word in words.split())
    return Counter({kind: int(count) for kind, _, count in pairs})


def replace(text: str, privacy: Privacy) -> Replaced:
    """The text with placeholders for what is private."""
    spans = merge(list(find_private(text, privacy)))
    pieces, end = [], 0
    addresses: dict[str, str] = {}
    for span in spans:
        pieces += [
            text[end : span.start],
            PLACEHOLDERS.get(span.kind) or address_for(text[span.start : span.end], addresses),
        ]
        end = span.end
    return Replaced("".join([*pieces, text[end:]]) if spans else text, Counter(span.kind for span in spans))


def find_private(text: str, privacy: Privacy) -> Iterator[Span]:
    if privacy.secrets:
        yield from find_secrets(text)
    if privacy.emails:
        yield from find_emails(text)
    if privacy.ip_addresses:
        yield from find_addresses(text)


def address_for(address: str, known: dict[str, str]) -> str:
    """What stands in the place of an address of a text; `known` holds what was given for its others."""
    return known.setdefault(address, stand_in(address, len(known)))
