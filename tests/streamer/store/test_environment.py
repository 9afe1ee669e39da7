"""What obstore takes from the environment by itself is honoured, the settings of the connection included."""

import ast
import os
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
from loopback_server import Server
from obstore.store import from_url

from streamer.errors import StoreError
from streamer.store.environment import CONNECTION_SETTINGS, connection_settings
from streamer.store.object_store import ObjectStore

NOT_IN_THE_ENVIRONMENT = {"default_headers", "root_certificate"}  # a table and a text of several lines


def test_every_setting_of_the_connection_that_obstore_has_is_known() -> None:
    source = (Path(obstore.__file__).parent / "_store" / "_client.pyi").read_text()
    (config,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "ClientConfig")
    names = {node.target.id for node in config.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    assert names - NOT_IN_THE_ENVIRONMENT == set(CONNECTION_SETTINGS)


@pytest.mark.parametrize(("url", "prefix"), [("s3://b/r", "AWS_"), ("gs://b/r", "GOOGLE_"), ("az://b/r", "AZURE_")])
def test_settings_come_from_the_platforms_own_variables(url: str, prefix: str) -> None:
    found = {f"{prefix}ALLOW_HTTP": "true", f"{prefix}PROXY_URL": "", "OTHER_TIMEOUT": "3s", f"{prefix}TIMEOUT": "9s"}
    assert connection_settings(url, found) == {"allow_http": "true", "timeout": "9s"}
    assert connection_settings(url, {}) == ({"allow_http": "true"} if url.startswith("gs") else {})


def seen(server: Server, url: str) -> tuple[str, str, dict[str, str]]:
    """The request by which our store reads an object; obstore by itself makes the same one."""
    server.status, server.body = 404, "<Error><Code>NoSuchKey</Code></Error>"
    assert ObjectStore(url, retry_s=0.1).get("x") is None
    ours = server.requests.pop()
    with pytest.raises(FileNotFoundError):
        obstore.get(from_url(url), "x")
    theirs = server.requests.pop()
    kept = ("host", "x-amz-security-token")
    assert ours[:2] == theirs[:2]
    assert [ours[2].get(name) for name in kept] == [theirs[2].get(name) for name in kept]
    assert (
        ours[2].get("authorization", "").split("Signature=")[0] == theirs[2].get("authorization", "").split("Signature=")[0]
    )
    return ours


def test_plain_http_token_and_region_are_honoured(server: Server, environment: Callable[..., None]) -> None:
    environment(AWS_DEFAULT_REGION="eu-north-1")
    _, path, headers = seen(server, "s3://bucket/root")
    assert path == "/bucket/root/x"
    assert headers["x-amz-security-token"] == "tokenhidden"
    assert "/eu-north-1/s3/" in headers["authorization"]
    environment(AWS_DEFAULT_REGION="eu-north-1", AWS_REGION="us-west-1")
    assert "/us-west-1/s3/" in seen(server, "s3://bucket/root")[2]["authorization"]


def test_the_endpoint_of_s3_goes_before_the_general_one(server: Server, environment: Callable[..., None]) -> None:
    environment(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ENDPOINT_URL_S3=server.url)
    assert seen(server, "s3://bucket/root")[1] == "/bucket/root/x"


def test_virtual_hosts_and_unsigned_requests_are_honoured(server: Server, environment: Callable[..., None]) -> None:
    environment(AWS_VIRTUAL_HOSTED_STYLE_REQUEST="true")
    assert seen(server, "s3://bucket/root")[1] == "/root/x"
    environment(AWS_SKIP_SIGNATURE="true")
    assert "authorization" not in seen(server, "s3://bucket/root")[2]


def test_a_proxy_is_honoured(server: Server, environment: Callable[..., None]) -> None:
    environment(AWS_ENDPOINT_URL="http://nowhere.invalid", AWS_PROXY_URL=server.url)
    assert seen(server, "s3://bucket/root")[1] == "http://nowhere.invalid/bucket/root/x"


def test_google_and_azure_are_honoured(
    server: Server,
    environment: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    assert seen(server, "gs://bucket/root")[1] == "/bucket/root%2Fx"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{server.url}/account")
    monkeypatch.setenv("AZURE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    assert seen(server, "az://container/root")[1] == "/account/container/root/x"
    monkeypatch.delenv("AZURE_ALLOW_HTTP")
    with pytest.raises(StoreError, match="AZURE_ALLOW_HTTP=true"):
        ObjectStore("az://container/root", retry_s=0.1).get("x")


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_ALLOW_HTTP", "maybe"), ("AWS_READ_TIMEOUT", "soon"), ("AWS_PROXY_URL", "::")]
)
def test_a_setting_that_cannot_be_is_one_line(name: str, value: str, environment: Callable[..., None]) -> None:
    environment(**{name: value})
    assert os.environ[name] == value
    with pytest.raises(StoreError, match="s3://bucket/root cannot be opened") as error:
        ObjectStore("s3://bucket/root")
    assert "\n" not in str(error.value)
