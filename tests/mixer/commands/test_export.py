"""An export trains with stock mosaicml-streaming, on our rows and about our shares."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy.command_line import main
from mixer import Mixtures
from streamer import Catalog
from streamer.errors import StreamError
from streamer.reading.export import export_glob, export_shares
from streamer.store.store import MemoryStore

TEXT = """
name = "m"
seq_len = 8
[[component]]
streams = "raw/*"
share = 1
pin = { python = 0.75 }
"""


def publish(root: Path) -> dict[tuple[int, ...], str]:
    """Three streams in five parts; rows that tell what they are of."""
    random, owners, catalog = np.random.default_rng(7), {}, Catalog(root)
    for name, counts in {"raw/python": (60, 20), "raw/java": (100, 40), "raw/go": (60,)}.items():
        for count in counts:
            rows = random.integers(0, 60_000, (count, 8)).astype(np.uint16)
            catalog.append(name, rows, seq_len=8)
            owners.update({tuple(row): name for row in rows.tolist()})
    return owners


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # stock samples are views of bytes
def test_stock_streaming_trains_from_an_exported_mixture(root: Path, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    owners = publish(root)
    Mixtures(root).apply(TEXT)
    out = tmp_path / "streams.json"
    assert main(["streams", "export", "m@1", "--out", str(out), "--root", str(root)]) == 0
    arguments = json.loads(out.read_text())
    assert arguments == Mixtures(root).export("m")
    assert len(arguments) == 5
    dataset = streaming.StreamingDataset(
        streams=[streaming.Stream(**each) for each in arguments], batch_size=8, shuffle=True, epoch_size=400
    )
    loader = streaming.StreamingDataLoader(dataset, batch_size=8)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(60_000, 4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen, losses = Counter[str](), []
    for batch in loader:
        tokens = batch["tokens"]
        assert tokens.dtype == torch.uint16
        seen.update(owners[tuple(row)] for row in tokens.tolist())  # KeyError: a row that is not ours
        loss = (model(tokens.long()).squeeze(-1) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert len(losses) == 50
    assert losses[-1] < losses[0]
    assert {name: count / 400 for name, count in seen.items()} == pytest.approx(
        {"raw/python": 0.75, "raw/java": 0.25 * 140 / 200, "raw/go": 0.25 * 60 / 200}, abs=0.02
    )


def test_proportions_are_the_shares_split_by_samples(root: Path) -> None:
    publish(root)
    catalog = Catalog(root)
    python, java = catalog.stream("raw/python"), catalog.stream("raw/java")
    found = export_shares(catalog, [(python, 0.8, None), (java, 0.2, 110)])
    assert [each["proportion"] for each in found] == pytest.approx([0.6, 0.2, 0.2 * 100 / 110, 0.2 * 10 / 110])
    assert [Path(each["local"]).name for each in found] == [part.part_id for s in (python, java) for part in s.parts]
    assert export_shares(catalog, [(python, 1.0, 60), (java, 0.0, None)]) == [
        {"remote": None, "local": str(root / python.parts[0].folder), "proportion": 1.0}
    ]


def test_a_glob_gives_every_part_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(root)
    assert main(["streams", "export", "raw/j*", "--root", str(root)]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"remote": None, "local": str(root / part.folder)} for part in Catalog(root).stream("raw/java").parts
    ]


def test_parts_of_an_object_store_have_an_address_and_a_folder_to_be_fetched_into() -> None:
    store = MemoryStore("az://container/catalog")
    snapshot = Catalog(store).append("raw/go", np.zeros((2, 8), np.uint16), seq_len=8)
    folder = snapshot.parts[0].folder
    assert export_glob(Catalog(store), "raw/*", cache="/cache") == [
        {"remote": f"azure://container/catalog/{folder}", "local": f"/cache/{folder}"}
    ]
    with pytest.raises(StreamError, match="--cache"):
        export_glob(Catalog(store), "raw/*")
    elsewhere = MemoryStore("abfs://container/catalog")
    Catalog(elsewhere).append("raw/go", np.zeros((2, 8), np.uint16), seq_len=8)
    with pytest.raises(StreamError, match="cannot read abfs://"):
        export_glob(Catalog(elsewhere), "raw/*", cache="/cache")


@pytest.mark.parametrize("what", ["none", "m@7", "none/*"])
def test_what_cannot_be_exported_is_one_line(
    root: Path, fill: Callable[..., Catalog], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill("raw/python", 4)
    fill("raw/go", 4)
    Mixtures(root).apply(TEXT)
    assert main(["streams", "export", what, "--root", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("phasemix: ")
    assert said.count("\n") == 1
