"""Finds IP addresses that somebody may have, and says what stands in their place.

Always holds: time is linear in the text. Addresses that no host on the Internet has stay: private, loopback, link-local,
multicast and documentation ranges, masks and networks. So do the resolvers that everybody names (8.8.8.8), samples such as
1.2.3.4 and 5.5.5.5, and numbers that are versions, sections or object identifiers. What stands in the place of an address
is one of a documentation range (RFC 5737, RFC 3849).

Source: BigCode's rules for The Stack (StarCoder, section 4.2): four single digits are a version unless the text near them
speaks of a server, and popular resolvers stay. Here four small numbers count as single digits do. The ranges are listed,
because `ipaddress.is_global` differs between releases of Python.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from streamer.privacy.span import Kind, Span

FOUR_NUMBERS = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?!\.?\w|-\w)")
THREE_DOTS = re.compile(
    r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
)  # what each has; an expression that begins with a letter is quick
TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
GROUPS = re.compile(r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![\w:.])")  # every global unicast address begins so
SERVER = re.compile(r"dns|server|host|addr|\bip", re.IGNORECASE)
SMALL = 32
VERSION = re.compile(
    r"(?:version|release|revision|build|\bver|\brev|\boid|section)[^A-Za-z0-9\n]{0,8}\Z|[=<>~!^]=\Z|[^:/]/\Z", re.IGNORECASE
)
NEAR, BEFORE = 100, 24

RESOLVERS = frozenset(
    {
        "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "76.76.19.19", "76.223.122.150", "9.9.9.9", "149.112.112.112",
        "208.67.222.222", "208.67.220.220", "8.26.56.26", "8.20.247.20", "94.140.14.14", "94.140.15.15",
        "2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111", "2606:4700:4700::1001", "2620:fe::fe",
    }
)  # fmt: skip
SAMPLES = frozenset({"1.2.3.4", *(".".join([str(number)] * 4) for number in range(256))})  # as in examples
OBJECT_IDENTIFIERS = ("1.3.101.", "1.3.132.", "2.5.4.", "2.5.29.")  # of keys and certificates
NOBODYS = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)  # fmt: skip
NOBODYS_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
DOCUMENTATION = ("192.0.2.", "198.51.100.", "203.0.113.")
HOSTS = 254


def find_addresses(text: str) -> Iterator[Span]:
    """The IP addresses of a text: first those of version 4, then those of version 6."""
    for match in FOUR_NUMBERS.finditer(text) if THREE_DOTS.search(text) else ():
        if is_somebodys(match[0]) and not is_version(text, match.start(), match.end()):
            yield Span(*match.span(), Kind.IP_ADDRESS)
    for match in GROUPS.finditer(text) if TWO_COLONS.search(text) else ():
        if is_somebodys_6(match[0]) and not text[match.start() - 1 : match.start()].isalnum():
            yield Span(*match.span(), Kind.IP_ADDRESS)


def is_somebodys(address: str) -> bool:
    """Whether a host on the Internet may have a dotted address."""
    words = address.split(".")
    if any(int(word) > 255 or (len(word) > 1 and word[0] == "0") for word in words):
        return False
    number = int.from_bytes(bytes(map(int, words)), "big")
    if (
        address.endswith((".0", ".255"))
        or address in SAMPLES
        or address in RESOLVERS
        or address.startswith(OBJECT_IDENTIFIERS)
    ):
        return False
    return not any(number & mask == network for network, mask in NOBODYS)


def is_version(text: str, start: int, end: int) -> bool:
    """Whether four numbers at a place of a text are a version, or part of something longer."""
    before = text[max(0, start - BEFORE) : start]
    if before[-1:].isalnum() or before.endswith((".", "-", "_")):
        return True
    if VERSION.search(before):
        return True
    is_small = all(int(word) < SMALL for word in text[start:end].split("."))
    return is_small and not SERVER.search(text, max(0, start - NEAR), end + NEAR)


def is_somebodys_6(address: str) -> bool:
    """Whether a host on the Internet may have the address of version 6, if it is one."""
    try:
        found = IPv6Address(address)
    except ValueError:
        return False
    return not address.endswith("::") and str(found) not in RESOLVERS and not any(found in network for network in NOBODYS_6)


def stand_in(address: str, place: int) -> str:
    """The documentation address for the `place`-th (from 0) address of a text."""
    if ":" in address:
        return f"2001:db8::{place + 1:x}"
    return f"{DOCUMENTATION[place // HOSTS % len(DOCUMENTATION)]}{place % HOSTS + 1}"
