"""A small real catalog with a tokenizer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mixer import Mixtures
from streamer import Catalog

SEQ_LEN = 32
REPOSITORY = Path(__file__).parents[2]
MIXTURE = """
name = "code"
seq_len = 32

[[component]]
streams = "raw/*"
share = 1.0
max_passes = 4
"""


def make_tokenizer(text: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


@pytest.fixture(params=["composer", "torch"])
def trainer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which trainer the trainings of a test are asked of: of each in turn."""
    monkeypatch.setattr("train_process.TRAINER", request.param)
    return request.param


@pytest.fixture(scope="session")
def source_text() -> str:
    return "\n".join(path.read_text() for path in sorted(REPOSITORY.glob("streamer/*/*.py")))


@pytest.fixture(scope="session")
def tokenizer(source_text: str) -> Tokenizer:
    return make_tokenizer(source_text)


@pytest.fixture(scope="session")
def other_tokenizer(source_text: str) -> Tokenizer:
    return make_tokenizer(source_text[:9000])


@pytest.fixture(scope="session")
def code_template(tmp_path_factory: pytest.TempPathFactory, source_text: str, tokenizer: Tokenizer) -> Path:
    root = tmp_path_factory.mktemp("code") / "catalog"
    catalog = Catalog(root)
    fingerprint = catalog.put_tokenizer(tokenizer.to_str())
    ids = np.array(tokenizer.encode(source_text).ids, np.uint16)
    rows = ids[: 220 * SEQ_LEN].reshape(-1, SEQ_LEN)
    for name, part in (("raw/python", rows[:100]), ("raw/go", rows[100:200]), ("heldout/python", rows[200:])):
        catalog.append(name, part, seq_len=SEQ_LEN, tokenizer=fingerprint)
    Mixtures(root).apply(MIXTURE)
    return root


@pytest.fixture
def code_root(code_template: Path, tmp_path: Path) -> Path:
    """A catalog of two raw streams of 100 samples, one held out, and the mixture `code`."""
    return shutil.copytree(code_template, tmp_path / "catalog")
