"""Secrets of every kind that the generator makes are found, and what only stands for one is left alone."""

import base64
from random import Random

import pytest

from benchmarks.planted_secrets import ALL_KINDS, plant
from streamer.privacy.replacing import Privacy, replace
from streamer.privacy.scanner import find_secrets
from streamer.privacy.span import Kind

SECRETS = Privacy(emails=False, ip_addresses=False)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_secrets_of_a_kind_are_replaced_and_the_rest_stays(kind: str) -> None:
    random = Random(kind)
    for _ in range(4):
        secret, line = plant(kind, random)
        before, after = "def größe(λ):\n    return λ\n", "\nprint('done')\n"
        found = replace(before + line + after, SECRETS)
        placeholder = "<PASSWORD>" if kind.startswith("password") else "<KEY>"
        head, _, tail = line.partition(secret)
        assert found.text == f"{before}{head}{placeholder}{tail}{after}"
        assert found.words in ("key=1", "password=1")


@pytest.mark.parametrize(
    "kind", ["Anthropic key", "Discord bot", "GitLab token", "Google key", "OpenAI key", "SendGrid key", "Telegram bot"]
)
def test_a_key_may_end_with_a_dash(kind: str) -> None:
    secret, _ = plant(kind, Random(kind))
    assert replace(f"x = '{secret[:-1]}-'", SECRETS).text == "x = '<KEY>'"


@pytest.mark.parametrize("before", ["at::Tensor & self);\n", "public static ", "std::string ", "public::"])
def test_what_stands_further_in_front_hides_no_secret(before: str) -> None:
    secret, line = plant("password", Random(before))
    assert secret not in replace(before + line, SECRETS).text


def test_both_halves_of_a_credential_of_aws_go() -> None:
    random = Random(3)
    (key, _), (secret, line) = plant("AWS key id", random), plant("AWS secret", random)
    found = replace(f'aws_access_key_id = "{key}"\n{line}\n', SECRETS)
    assert key not in found.text
    assert secret not in found.text
    assert found.counts == {Kind.KEY: 2}


def test_a_secret_inside_base64_takes_the_base64_with_it() -> None:
    token, _ = plant("GitHub token", Random(5))
    hidden = base64.b64encode(f'{{"github": "{token}", "more": "words and words"}}'.encode()).decode()
    found = replace(f'data = "{hidden}"\n', SECRETS)
    assert found.text == 'data = "<KEY>"\n'


def test_a_private_key_that_is_cut_off_goes_to_its_last_line() -> None:
    key, _ = plant("private key", Random(7))
    lines = key.splitlines()[:-1]
    found = replace("\n".join(['KEY = """', *lines, ""]), SECRETS)
    assert found.text.rstrip() == 'KEY = """\n<KEY>'
    assert found.counts == {Kind.KEY: 1}


def test_a_mark_that_scanners_obey_exempts_nothing() -> None:
    for mark in ("gitleaks:allow", "kingfisher:ignore", "pragma: allowlist secret", "noqa", "nosec"):
        token, _ = plant("GitLab token", Random(mark))
        assert token not in replace(f"token = '{token}'  # {mark}\n", SECRETS).text, mark


@pytest.mark.parametrize(
    "line",
    [
        'password = "changeme123"',
        'password = os.environ["DB_PASSWORD1"]',
        'password: "${DB_PASSWORD_2}"',
        "password='{password1}'",
        'password = "your-password-1"',
        'PASSWORD_FIELD = "password_field2"',
        "password = 'correct horse'",
        "password = 'correcthorse'",
        'token = "IDENTIFIER_2_OF_A_TOKEN"',
        'token = "GetUserByIdentifierV2"',
        'client_secret: "identityDomainWebAuthClientSecretVaultId"',
        'secret_name = "projects/42/secrets/name"',
        '<assemblyIdentity name="x" publicKeyToken="6595b64144ccf1df"/>',
        "[assembly: X(\"Y, PublicKeyToken=b03f5f7f11d50a3a6595b64144ccf1df\")]",
        '"AWS::SecretsManager::Secret": "c85175a4ebcce361"',
        'sha = "9b871512327c09ce91dd649b3f96a63b7408ef267c8cc5710114e629730cb61f"',
        'commit = "83d4a0c6f2a1b0d7e95c3d2f4e6a8b9c0d1e2f3a"',
        "id = uuid.UUID('7f3b2c1d-9e8f-4a6b-8c7d-1e2f3a4b5c6d')",
        'mark = "-----BEGIN PRIVATE KEY-----"',
        'url = "postgresql://user:password@host/db"',
        'url = "https://$USER:$TOKEN@host/db"',
    ],
)  # fmt: skip
def test_what_only_looks_like_a_secret_stays(line: str) -> None:
    assert replace(f"x = 1\n{line}\n", SECRETS).text == f"x = 1\n{line}\n"


def test_an_access_key_of_the_documentation_stays() -> None:
    key = "AKIA" + "IOSFODNN7" + "EXAMPLE"
    assert find_secrets(f'key = "{key}"') == []


def test_characters_are_counted_and_not_bytes() -> None:
    for before in ("", "é", "値" * 7, "😀" * 3, "\ufeff", "\0", "\ud800", "é\udfff\0\ufeff😀"):
        token, _ = plant("npm token", Random(before.encode("utf-8", "surrogatepass").hex()))
        found = replace(f'{before}\nx = "{token}" # {before}', SECRETS)
        assert found.text == f'{before}\nx = "<KEY>" # {before}'
