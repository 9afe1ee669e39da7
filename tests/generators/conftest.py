"""A small catalog of real Python files with seed documents, and a real Redis."""

import hashlib
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from deploy.local.redis_server import does_redis_answer, find_redis, redis_address, redis_argv
from streamer import Catalog, Document
from streamer.packing.packing import pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id

SEQ_LEN = 64
MODULES = ("bisect", "heapq", "shlex", "textwrap", "queue", "statistics", "fractions", "colorsys", "calendar", "csv")


def small_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        ["def f(): pass"],
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


@pytest.fixture
def tokenizer() -> Tokenizer:
    return small_tokenizer()


@pytest.fixture(scope="session")
def seeded_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """documents/python and scored/python/q50 (its better half) of standard-library modules."""
    from streaming import MDSWriter

    folder = tmp_path_factory.mktemp("seeded")
    catalog, tokenizer = Catalog(folder / "root"), small_tokenizer()
    documents = []
    for place, name in enumerate(MODULES):
        text = (Path(sysconfig.get_path("stdlib")) / f"{name}.py").read_text()
        identity = hashlib.sha256(text.encode()).hexdigest()[:32]
        documents.append(
            Document(
                text=text,
                path=f"{name}.py",
                repository="stdlib",
                language="python",
                license="PSF-2.0",
                document=identity,
                score=float(place),
            )
        )
    columns = {"text": "str", "path": "str", "repository": "str", "language": "str", "license": "str", "document": "str"}
    with MDSWriter(out=str(folder / "mds"), columns={**columns, "score": "float64"}) as writer:
        for document in documents:
            writer.write({name: getattr(document, name) for name in (*columns, "score")})
    catalog.publish_directory("documents/python", folder / "mds")
    best = documents[len(documents) // 2 :]
    packed = pack(
        [tokenizer.encode(document.text).ids for document in best],
        seq_len=SEQ_LEN,
        dtype="uint16",
        end_of_document_id=end_of_document_id(tokenizer),
    )
    catalog.append(
        "scored/python/q50",
        packed.rows,
        seq_len=SEQ_LEN,
        tokenizer=catalog.put_tokenizer(tokenizer.to_str()),
        documents=sidecar_rows(packed, best),
    )
    return folder / "root"


@pytest.fixture
def seeded(seeded_template: Path, root: Path) -> Catalog:
    shutil.copytree(seeded_template, root, dirs_exist_ok=True)
    return Catalog(root)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The address of a Redis of the tests' own."""
    with tempfile.TemporaryDirectory(prefix="pm") as folder:  # short enough for Unix sockets
        with subprocess.Popen(redis_argv(find_redis(), Path(folder)), stdout=subprocess.DEVNULL) as process:
            url = redis_address(Path(folder))
            while not does_redis_answer(url):
                assert process.poll() is None
                time.sleep(0.02)
            yield url
            process.terminate()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A real Redis with nothing in it."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
