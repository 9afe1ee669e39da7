"""Who may read and write through the service: named tokens of two roles.

Always holds: a token is compared in constant time and never printed; a file of tokens that others may read is refused.
"""

import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mixer.errors import AccessError
from streamer.catalog.names import check_word

VARIABLE = "PHASEMIX_TOKENS"
ROLES = ("read", "write")
SECRET = re.compile(r"[\x21-\x7e]{16,512}")


class Token(NamedTuple):
    """A token as a line of the file has it. `name` becomes the `by` of what it writes."""

    name: str
    role: str
    secret: str


def load_tokens(path: str | Path | None = None) -> tuple[Token, ...]:
    """The tokens of a file of mode 0600, else of the lines in PHASEMIX_TOKENS, else none. Raises: AccessError."""
    if path is None:
        return parse_tokens(os.environ.get(VARIABLE, ""), VARIABLE)
    try:
        mode = os.stat(path).st_mode
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise AccessError(f"file of tokens {path} cannot be read: {said}; give lines of: name role token") from error
    if stat.S_IMODE(mode) & 0o077:
        raise AccessError(f"file of tokens {path} has mode {stat.S_IMODE(mode):04o}; chmod 600 {path}")
    found = parse_tokens(text, str(path))
    if not found:
        raise AccessError(f"file of tokens {path} has no tokens; give lines of: name role token")
    return found


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    """Tokens of lines `name role token`; blank lines and those that begin with # are none. Raises: AccessError."""
    found: list[Token] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3:
            raise AccessError(f"{where}:{number}: {len(words)} words; write: name role token")
        token = Token(*words)
        check_word(token.name, what="token")
        if token.role not in ROLES:
            raise AccessError(f"{where}:{number}: token {token.name} has role {token.role!r}; use one of {', '.join(ROLES)}")
        if not SECRET.fullmatch(token.secret):
            raise AccessError(
                f"{where}:{number}: the token of {token.name} must be 16 to 512 visible ASCII characters; make one with "
                "openssl rand -hex 24"
            )
        if any(token.name == other.name or token.secret == other.secret for other in found):
            raise AccessError(
                f"{where}:{number}: token {token.name} is there twice; give each a name and a token of its own"
            )
        found.append(token)
    return tuple(found)


def find_token(tokens: Sequence[Token], given: str) -> Token | None:
    """The token that was given. Looks at all of them, whichever it is."""
    matches = [token for token in tokens if secrets.compare_digest(token.secret.encode(), given.encode())]
    return matches[0] if matches else None
