"""Finds secrets: keys, tokens, private keys and passwords.

Always holds: nothing leaves the machine. Of the detector's package only `Rules` and `Scanner` are named, which read bytes in
this process; what asks providers whether a secret is valid, or revokes it, is never used (an architecture test looks).
A mark such as `gitleaks:allow` in a text exempts nothing.

How: Kingfisher's rules, and those of `rules.yml` beside this module, are compiled once a process. The detector keeps
them compiled in a cache (`KF_RULE_CACHE_DIR`, or the user's cache folder), which makes half a second of four.
Byte offsets become those of characters.
"""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.privacy.plausible import can_be_secret, is_key, is_password
from streamer.privacy.span import Kind, Span

if TYPE_CHECKING:
    from kingfisher_sdk import Scanner

OWN_RULES = Path(__file__).with_name("rules.yml")
GIVEN = {  # rules that go by the name a value is given
    "phasemix.assigned-password": is_password,
    "phasemix.connection-password": is_password,
    "phasemix.shell-password": is_password,
    "phasemix.assigned-key": is_key,
    "phasemix.shell-key": is_key,
}
NOT_SECRET = re.compile(  # names such as the publicKeyToken of an assembly, and the names of types
    rb"(?:public[\w-]{0,20}|::\w{0,40})[\"'\]]{0,2}\s{0,8}(?:=>|:=|[:=])\s{0,8}\w{0,2}[\"']?\Z", re.IGNORECASE
)
NAME_BYTES = 64
PASSWORDS = ("password", "credential-uri", "curl-auth-user")
PARTS_OF_SECRETS = ("secret", "token", "passphrase", "private")  # what a rule finds beside an id, to be reported with it


@cache
def load_scanner() -> "Scanner":
    """The detector with all rules; of this process, since it cannot be sent to another one."""
    from kingfisher_sdk import Rules, Scanner

    return Scanner(Rules([OWN_RULES]))


def find_secrets(text: str) -> list[Span]:
    """The secrets of a text, in no order; they may overlap."""
    data = text.encode("utf-8", "replace")  # a lone surrogate is one character, and one byte
    found = [finding for finding in load_scanner().scan(data) if is_secret(finding, data)]
    ends = sorted({offset for finding in found for offset in bounds(finding)})
    place = dict(zip(ends, characters(data, ends, len(text)), strict=True))
    return [
        Span(place[start], place[end], kind_of(finding.rule_id)) for finding in found for start, end in [bounds(finding)]
    ]


def is_secret(finding: Any, data: bytes) -> bool:
    """Whether what a rule found is to go: it is sure enough, or a secret beside an id, and can be what it is said to be."""
    rule = finding.rule_id.rpartition(".")[2]
    if not finding.visible and not any(word in rule for word in PARTS_OF_SECRETS):
        return False
    if finding.confidence == "low" or not can_be_secret(finding.secret):
        return False
    check = GIVEN.get(finding.rule_id)
    if check is None:
        return True
    start, _ = bounds(finding)
    return check(finding.secret) and not NOT_SECRET.search(data[max(0, start - NAME_BYTES) : start])


def kind_of(rule: str) -> Kind:
    return Kind.PASSWORD if any(word in rule for word in PASSWORDS) else Kind.KEY


def bounds(finding: Any) -> tuple[int, int]:
    """The bytes of a finding; of one inside base64, those of the base64."""
    location = finding.location
    return location["start_offset"], location["end_offset"]


def characters(data: bytes, offsets: list[int], length: int) -> list[int]:
    """The characters at which sorted byte offsets lie; `length` is that of the text."""
    if length == len(data):
        return offsets
    found, before, count = [], 0, 0
    for offset in offsets:
        count += len(data[before:offset].decode("utf-8", "ignore"))
        before = offset
        found.append(count)
    return found
