"""What a store's error says: the store's own reason in one line, with a remedy, and never a credential."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import faulty_proxy
from loopback_server import Server

from deploy.command_line import main
from streamer.errors import StoreError, UnknownOutcomeError
from streamer.store.faults import clean
from streamer.store.object_store import ObjectStore
from streamer.store.roots import open_store

SECRETS = ("AKIDHIDDEN", "secrethidden", "tokenhidden", "userhidden")
XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message><AWSAccessKeyId>AKIDHIDDEN</AWSAccessKeyId></Error>'
# (status, body, what the line says)
ANSWERS = {
    "no bucket": (404, XML.format("NoSuchBucket", "no"), ["bucket misspelt does not exist", "create it"]),
    "no container": (404, XML.format("ContainerNotFound", "no"), ["bucket misspelt does not exist"]),
    "unknown key": (403, XML.format("InvalidAccessKeyId", "The key is not known."), [
        "access was denied", "403 Forbidden: InvalidAccessKeyId: The key is not known.", "AWS_ACCESS_KEY_ID"]),
    "wrong secret": (403, XML.format("SignatureDoesNotMatch", "No match."), ["SignatureDoesNotMatch", "credentials"]),
    "no rights": (403, XML.format("AccessDenied", "Access Denied"), ["403 Forbidden: AccessDenied", "rights"]),
    "expired": (400, XML.format("ExpiredToken", "It has expired."), ["access was denied", "400 Bad Request: ExpiredToken"]),
    "not signed in": (401, "", ["access was denied", "401 Unauthorized"]),
    "wrong region": (400, XML.format("AuthorizationHeaderMalformed", "the region is wrong; expecting 'eu-west-1'"), [
        "another region", "expecting 'eu-west-1'", "set AWS_REGION"]),
    "sent elsewhere": (301, XML.format("PermanentRedirect", "elsewhere"), ["another region", "set AWS_REGION"]),
    "busy": (503, XML.format("SlowDown", "Please slow down."), ["503 Service Unavailable: SlowDown", "later"]),
    "broken": (500, "", ["answered 500 Internal Server Error"]),
    "no store": (404, "<html><body>nginx</body></html>", ["answered 404 Not Found", "AWS_ENDPOINT_URL"]),
    "not able": (501, XML.format("NotImplemented", "no conditions"), ["501 Not Implemented: NotImplemented"]),
}  # fmt: skip
COMMANDS = [
    "streams list", "streams create raw/python --seq-len 8", "streams publish documents/python {documents}",
    "streams verify", "streams show raw/python", "mixtures list", "mixtures show m",
    "mixtures apply {mixture}", "mixtures preview {mixture}",
    "runs list", "runs create a --mixture m@1 --seed 1 --global-batch 8", "runs show a", "runs switch a m@2",
    "runs fork a b --at-step 3", "runs extend a --to 9", "runs trace a --batch 0", "generators scale 2", "generators status",
    "generators seed --from scored/* --files 3", "tokenizer show", "corpus stats", "corpus ingest {sources}", "up",
]  # fmt: skip


def acts(store: Any, path: Path) -> list[Callable[[], object]]:
    path.write_bytes(b"x")
    return [
        lambda: store.get("a/b"),
        lambda: store.fetch("a/b", path, 1),
        lambda: store.put_if_absent("a/b", b""),
        lambda: store.put_file("a/b", path),
        lambda: store.list("a"),
        lambda: store.delete("a/b"),
    ]


def check_line(line: str) -> None:
    assert "\n" not in line
    assert len(line) < 600
    assert not any(secret in line for secret in SECRETS), line


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_server_answers_reaches_the_person(
    name: str, server: Server, environment: Callable[..., None], tmp_path: Path
) -> None:
    server.status, server.body, wanted = ANSWERS[name]
    environment(AWS_ENDPOINT_URL=server.url.replace("//", "//userhidden:secrethidden@"))
    store = ObjectStore("s3://misspelt/root", retry_s=0.2)
    for act in acts(store, tmp_path / "file"):
        with pytest.raises(StoreError) as error:
            act()
        check_line(str(error.value))
        assert all(words in str(error.value) for words in ["s3://misspelt/root", *wanted]), error.value
        assert server.url in str(error.value) or name == "sent elsewhere"


@pytest.mark.parametrize(
    ("key", "is_unknown"), [("busy", True), ("broken", True), ("no rights", False), ("no bucket", False)]
)
def test_only_a_put_that_may_have_been_done_has_an_unknown_outcome(
    key: str, is_unknown: bool, server: Server, environment: Callable[..., None]
) -> None:
    server.status, server.body, _ = ANSWERS[key]
    with pytest.raises(StoreError) as error:
        ObjectStore("s3://misspelt/root", retry_s=0.1).put_if_absent("a/b", b"x")
    assert isinstance(error.value, UnknownOutcomeError) == is_unknown


@pytest.mark.parametrize("fault", ["drop", "reset", "slow", "late 500", "500"])
def test_a_put_whose_answer_is_lost_for_good_has_an_unknown_outcome(
    fault: str, s3_endpoint: str, s3_store: Callable[..., ObjectStore]
) -> None:
    with faulty_proxy(s3_endpoint) as proxy:
        proxy.meets, proxy.for_ever, proxy.slow_s = lambda method, path: True, fault, 0.3
        store = s3_store(proxy.url, retry_s=0.2, read_timeout="100ms")
        with pytest.raises(UnknownOutcomeError, match="look before"):
            store.put_if_absent("a/b", b"x")
        proxy.for_ever = ""
        assert store.put_if_absent("a/b", b"x") == b"x"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            ["the connection was refused at http://127.0.0.1:9", "AWS_ENDPOINT_URL"],
        ),
        ({"AWS_ENDPOINT_URL": "http://nowhere.invalid"}, ["name is not known at http://nowhere.invalid"]),
        ({"AWS_ALLOW_HTTP": None}, ["plain http is not allowed", "AWS_ALLOW_HTTP=true"]),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None, "AWS_PROFILE": "work"},
            ["there are no credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE is not read"],
        ),
    ],
)
def test_what_never_reaches_a_server_is_said_too(
    values: dict[str, str | None], wanted: list[str], environment: Callable[..., None], tmp_path: Path
) -> None:
    environment(**values)
    store = ObjectStore("s3://misspelt/root", retry_s=0.1)
    for act in acts(store, tmp_path / "file"):
        with pytest.raises(StoreError) as error:
            act()
        assert not isinstance(error.value, UnknownOutcomeError)
        check_line(str(error.value))
        assert all(words in str(error.value) for words in wanted), error.value


def test_tls_to_a_server_without_is_said(server: Server, environment: Callable[..., None]) -> None:
    environment(AWS_ENDPOINT_URL=server.url.replace("http:", "https:"))
    with pytest.raises(StoreError, match="no TLS connection can be made at https://127.0.0.1"):
        ObjectStore("s3://misspelt/root", retry_s=0.1).get("a/b")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_in_one_line_that_a_bucket_is_missing(
    command: str, server: Server, environment: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status, server.body, _ = ANSWERS["no bucket"]
    (tmp_path / "documents.jsonl").write_text('{"text": "print(1)"}\n')
    (tmp_path / "m.toml").write_text('name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n')
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "a.py").write_text("print(1)\n" * 40)
    places = {"documents": tmp_path / "documents.jsonl", "mixture": tmp_path / "m.toml", "sources": tmp_path / "sources"}
    assert main([*command.format(**places).split(), "--root", "s3://misspelt/root"]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    check_line(line)
    assert "bucket misspelt does not exist" in line
    assert not said.out


@pytest.mark.parametrize(
    "url", ["s3://user:secrethidden@bucket/root", "gs://userhidden@bucket/root", "s3://bucket/root?sig=secrethidden",
            "abfs://container:secrethidden@account/root", "ftp://user:secrethidden@host/root"],
)  # fmt: skip
def test_an_address_with_credentials_is_refused_without_saying_them(url: str) -> None:
    with pytest.raises(StoreError) as error:
        open_store(url)
    check_line(str(error.value))


def test_text_is_cleaned_of_what_may_be_secret() -> None:
    said = clean("a https://userhidden:secrethidden@host/x?X-Amz-Signature=tokenhidden&b=1\n  and more")
    assert said == "a https://host/x and more"
