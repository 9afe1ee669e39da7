"""E-mail and IP addresses: what goes and what stays."""

import pytest

from streamer.privacy.addresses import find_addresses, is_somebodys, stand_in
from streamer.privacy.emails import find_emails


def emails(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find_emails(text)]


def addresses(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find_addresses(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Author: Ada <ada.l@corp.net>, 1843", ["ada.l@corp.net"]),
        ("mailto:first.last+tag@mail.corp.co.uk.", ["first.last+tag@mail.corp.co.uk"]),
        ("größe 値 (ada@corp.net)", ["ada@corp.net"]),
        ("a@corp.net,b@corp.net;c@corp.net", ["a@corp.net", "b@corp.net", "c@corp.net"]),
        ('"ada_99@MAIL.CORP.ORG"', ["ada_99@MAIL.CORP.ORG"]),
        (f"{'x' * 70}@corp.net", []),  # longer than a name may be
    ],
)
def test_email_addresses_are_found(text: str, found: list[str]) -> None:
    assert emails(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com", "user@mail.example.org", "user@host.test", "root@localhost", "user@service.local",
        "git@github.com:owner/name.git", "ssh://deploy@build.corp.net/x", "postgres://app:pw@db.corp.net/x",
        "https://token@corp.net/x", "this@MainActivity.finish()", "return@forEach.other", "super@Outer.method",
        "icon@2x.png", "name@1.2.3", "lodash@npm.x", "@app.route('/')", "@Override", "foo@bar.call(x)", "left @ right.T",
        "f'{name}-cert-v01@openssh.com'", "zlib@openssh.com",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_email_address_stays(text: str) -> None:
    assert emails(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("curl http://34.117.59.81:8080/x", ["34.117.59.81"]),
        ("allow 91.198.174.192/32;", ["91.198.174.192"]),
        ("('34.117.59.81', 80)", ["34.117.59.81"]),
        ("server 5.6.7.8", ["5.6.7.8"]),  # small numbers beside a server
        ("It is 91.198.174.192. Then", ["91.198.174.192"]),
        ("ping6 2a00:1450:4001:81b::200e", ["2a00:1450:4001:81b::200e"]),
        ("http://[2620:0:862:ed1a::1]/", ["2620:0:862:ed1a::1"]),
        ("2a02:ec80:300:ed1a:0:0:0:3b5", ["2a02:ec80:300:ed1a:0:0:0:3b5"]),
    ],
)
def test_ip_addresses_are_found(text: str, found: list[str]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "10.1.2.3", "192.168.0.17", "172.16.31.10", "127.0.0.1", "169.254.169.254", "100.64.1.1", "192.0.2.33",
        "198.51.100.7", "203.0.113.9", "198.18.0.5", "0.0.0.0", "255.255.255.0", "224.0.0.251", "240.0.0.1",
        "8.8.8.8", "1.1.1.1", "9.9.9.9", "208.67.222.222", "1.2.3.4", "5.5.5.5", "80.0.0.0", "91.198.174.0/24",
        "v34.117.59.81", "34.117.59.81.5", "5.34.117.59.81", "lib-34.117.59.81", "name-34.117.59.81-beta",
        "Chrome/34.117.59.81", "lib==34.117.59.81", "version = '34.117.59.81'", "__version__ = \"3.5.0.1\"",
        "Version: 34.117.59.81", "// 20.5.4.4, swap", "2.5.29.15", "1.3.101.112", "999.1.2.3", "034.117.59.81",
        "2001:db8::7", "::1", "fe80::1", "fd00::1", "::ffff:1.2.3.4", "2606:4700:4700::1111", "2023:10:12",
        "2620:4f:8000::/48",
        "std::2000::x", "0x2a00:1450", "2024:01:02:03:04:05",
    ],
)  # fmt: skip
def test_addresses_that_are_nobodys_and_versions_stay(text: str) -> None:
    assert addresses(f"x = {text}") == []


def test_what_stands_in_for_an_address_is_nobodys_and_its_own() -> None:
    places = [stand_in("34.117.59.81", place) for place in range(762)]
    assert len(set(places)) == 762
    assert not any(map(is_somebodys, places))
    assert addresses(" ".join(stand_in("2a00::1:2", place) for place in range(2000))) == []
