"""Finds e-mail addresses.

Always holds: time is linear in the text. Addresses that belong to nobody stay: those of reserved domains (RFC 2606), of
the accounts that serve repositories (`git@github.com`), the names of OpenSSH's extensions, and the user of a URI. What only
looks like an address stays too: labels of Kotlin (`this@Main.finish`), calls, and names of files such as `icon@2x.png`.

How: an address is looked for from its `@`, forward to the domain and back to the name, so a text without one costs nothing.
"""

import re
from collections.abc import Iterator

from streamer.privacy.span import Kind, Span

DOMAIN = re.compile(r"@((?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,6}([a-z]{2,24}|[A-Z]{2,24}))(?![\w(-]|\.\w)")
NAME = re.compile(r"(?<![\w.+%-])\w[\w.+%-]{0,63}\Z")
USER_OF_URI = re.compile(r"://[^\s/@]{0,64}\Z")
NOBODYS = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost|local|localdomain)$|^openssh\.com$", re.IGNORECASE
)
NOBODY = frozenset({"git", "hg", "svn", "this", "super", "return", "break", "continue"})
FILE_ENDINGS = frozenset(
    {
        "css", "gif", "htm", "html", "ico", "java", "jpeg", "jpg", "js", "json", "jsx", "png", "svg", "ts", "tsx", "txt",
        "webp", "xml",
    }
)  # fmt: skip
MOST_NAME = 64


def find_emails(text: str) -> Iterator[Span]:
    """The e-mail addresses of a text, in order."""
    for match in DOMAIN.finditer(text):
        before = text[max(0, match.start() - 2 * MOST_NAME) : match.start()]
        name = NAME.search(before)
        if name is None or name[0].lower() in NOBODY or match[2].lower() in FILE_ENDINGS:
            continue
        if NOBODYS.search(match[1]) or USER_OF_URI.search(before):
            continue
        yield Span(match.start() - len(name[0]), match.end(), Kind.EMAIL)
