"""Exported checkpoints: transformers computes the trainer's logits, and what must not be loaded is one line."""

import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from train_process import Forked, train, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from deploy.command_line import main
from mixer import Mixtures, Runs
from streamer import Catalog
from streamer.errors import PhasemixError
from training.checkpoints import files, record
from training.checkpoints.export import export_checkpoint
from training.errors import CheckpointError
from training.model.llama import build_model
from training.phases.phase import ModelShape

SEQ_LEN = 32
TEXT = 'def f(x):\n\treturn x  # "変" <|endoftext|> é'
SMALL = ModelShape(
    hidden_size=32, intermediate_size=64, num_layers=2, num_heads=4, num_kv_heads=4, vocab_size=512, dropout=0.1
)


@pytest.fixture(scope="module")
def trained_template(code_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(code_template, tmp_path_factory.mktemp("exported") / "catalog")
    train(root, "a", "--set", "steps=8")
    return root


@pytest.fixture
def trained(trained_template: Path, tmp_path: Path) -> Path:
    """The folder of a training of 8 steps, with checkpoints after 4 and 8."""
    return shutil.copytree(trained_template, tmp_path / "trained") / "checkpoints" / "a"


def write_checkpoint(root: Path, shape: ModelShape, *, says: ModelShape | None = None) -> tuple[Path, torch.nn.Module]:
    """A checkpoint of a new model, as a training of run `made` writes it; the record says another shape if asked to."""
    if "made" not in {info.name for info in Runs(root).list()}:
        Runs(root).create("made", mixture="code", seed=1, global_batch=8, num_steps=8)
    model = build_model(shape, seq_len=SEQ_LEN, seed=3)
    target = files.path_of(root / "checkpoints" / "made", 8)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}")
    torch.save({"state": {"model": {f"model.{name}": tensor for name, tensor in model.state_dict().items()}}}, aside)
    files.publish(aside, target, run="made", step=8, model=msgspec.to_builtins(says or shape), keep=9)
    return target, model


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.randint(512, (3, SEQ_LEN), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(input_ids=ids).logits
    return found


def refused(root: Path, checkpoint: Path, target: Path, says: str, **more: str) -> str:
    """The one line that is said; nothing was written beside what was there."""
    before = sorted(target.parent.rglob("*"))
    with pytest.raises(PhasemixError, match=says) as error:
        export_checkpoint(str(root), checkpoint, target, **more)
    assert "\n" not in str(error.value)
    assert sorted(target.parent.rglob("*")) == before
    return str(error.value)


def test_transformers_computes_the_logits_of_the_trained_model(trained, tmp_path):
    root, target = trained.parents[1], tmp_path / "below" / "model"
    exported = export_checkpoint(str(root), trained, target)
    model = build_model(SMALL, seq_len=SEQ_LEN, seed=1)
    state = torch.load(trained / "step-00000008.pt", weights_only=False)["state"]["model"]
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()})
    found = AutoModelForCausalLM.from_pretrained(target)
    torch.testing.assert_close(logits(found), logits(model), atol=1e-6, rtol=0)
    assert (found.config.max_position_embeddings, found.config.use_cache, found.dtype) == (SEQ_LEN, True, torch.float32)
    fingerprint = Catalog(root).stream("raw/go").tokenizer
    assert json.loads((target / "phasemix.json").read_text()) == {
        "run": "a", "step": 8, "sha256": record.digest(trained / "step-00000008.pt"), "mixture": "code@1",
        "tokenizer": fingerprint, "seq_len": SEQ_LEN, "format": "export/1",
    }  # fmt: skip
    assert msgspec.to_builtins(exported) == json.loads((target / "phasemix.json").read_text())
    assert export_checkpoint(str(root), trained / "step-00000004.pt", tmp_path / "earlier").step == 4


def test_the_tokenizer_is_the_corpuss_and_generation_is_greedy_to_the_end_of_a_document(trained, tmp_path):
    catalog, target = Catalog(trained.parents[1]), tmp_path / "model"
    export_checkpoint(str(trained.parents[1]), trained, target)
    ours, found = catalog.load_tokenizer(catalog.stream("raw/go").tokenizer), AutoTokenizer.from_pretrained(target)
    plain = TEXT.replace("<|endoftext|>", "")
    assert found(plain).input_ids == ours.encode(plain).ids
    assert found.decode(found(TEXT).input_ids) == TEXT
    assert found(plain).keys() == {"input_ids", "attention_mask"}
    assert (found.eos_token, found.model_max_length) == ("<|endoftext|>", SEQ_LEN)
    generation = GenerationConfig.from_pretrained(target)
    assert (generation.do_sample, generation.eos_token_id) == (False, found.eos_token_id)


def test_the_mixture_is_that_of_the_last_step(trained, tmp_path):
    root = trained.parents[1]
    runs, text = Runs(root), (trained / "checkpoints.jsonl").read_text()
    Mixtures(root).edit("code", ["raw.max_passes=9"])
    runs.create("b", mixture="code@1", seed=1, global_batch=8, num_steps=12)
    runs.switch("b", "code@2", at_step=6)
    runs.extend("b", 12)
    shutil.copytree(trained, trained.with_name("b"))
    (trained.with_name("b") / "checkpoints.jsonl").write_text(text.replace('"run":"a"', '"run":"b"'))
    refused(root, trained.with_name("b"), tmp_path / "model", "was not trained on run b")
    for step, mixture in ((4, "code@1"), (8, "code@2")):
        path = trained.with_name("b") / f"step-{step:08d}.pt"
        state = torch.load(path, weights_only=False)["state"]["model"]
        torch.save({"state": {"model": state}}, path)
        export = export_checkpoint(str(root), path, tmp_path / mixture, trusted=record.digest(path))
        assert export.mixture == mixture


@pytest.mark.parametrize(
    "change",
    [{}, {"tied_embeddings": False}, {"num_kv_heads": 2, "rope_theta": 5e5}, {"vocab_size": 600, "num_layers": 1}],
    ids=str,
)
def test_every_key_of_the_shape_is_in_the_export(code_root, tmp_path, change):
    shape = msgspec.structs.replace(SMALL, **change)
    checkpoint, model = write_checkpoint(code_root, shape)
    export_checkpoint(str(code_root), checkpoint, tmp_path / "model")
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "model")), logits(model), atol=1e-6, rtol=0
    )


def test_what_must_not_be_loaded_is_one_line(trained, tmp_path):
    root, target, path = trained.parents[1], tmp_path / "out" / "model", trained / "step-00000008.pt"
    target.parent.mkdir()
    refused(root, trained / "step-00000012.pt", target, "there is no checkpoint at")
    refused(root, tmp_path / "out", target, "there is no checkpoint at")
    refused(root, trained / "checkpoints.jsonl", target, "name a file step-NNNNNNNN.pt")
    refused(tmp_path / "nowhere", path, target, "there is no root at")
    data, line = bytearray(path.read_bytes()), (trained / record.NAME).read_text()
    data[-100] ^= 1
    path.write_bytes(data)
    refused(root, path, target, "is damaged: its SHA-256")
    assert export_checkpoint(str(root), trained, tmp_path / "older").step == 4
    stranger = trained / "step-00000099.pt"
    shutil.copy(trained / "step-00000004.pt", stranger)
    digest = refused(root, stranger, target, "this run did not write it").rpartition("--trust ")[2]
    assert export_checkpoint(str(root), stranger, tmp_path / "vouched", trusted=digest).sha256 == digest
    (trained / record.NAME).unlink()
    refused(root, stranger, target, r"no checkpoints\.jsonl beside it", trusted=digest)
    (trained / record.NAME).write_text(line.replace('"run":"a"', '"run":"z"'))
    refused(root, trained / "step-00000004.pt", target, "z")


def test_weights_that_are_no_numbers_are_not_exported(trained, tmp_path):
    path = trained / "step-00000008.pt"
    held = torch.load(path, weights_only=False)
    held["state"]["model"]["model.model.norm.weight"][0] = float("nan")
    torch.save(held, path)
    said = r"step-00000008\.pt has NaN or infinity among its weights: model\.norm\.weight; take an earlier one"
    refused(trained.parents[1], path, tmp_path / "model", said, trusted=record.digest(path))


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_checkpoint_that_a_person_vouches_for_still_runs_nothing(trained, tmp_path):
    path, mark, target = trained / "step-00000008.pt", tmp_path / "ran", tmp_path / "out" / "model"
    target.parent.mkdir()
    torch.save({"state": {"model": Evil(mark)}}, path)
    refused(trained.parents[1], path, target, "more than tensors", trusted=record.digest(path))
    path.write_bytes(b"no checkpoint")
    refused(trained.parents[1], path, target, "cannot be read as a checkpoint", trusted=record.digest(path))
    assert not mark.exists()


def test_a_checkpoint_of_another_model_or_root_is_one_line(trained, code_root, tmp_path):
    target = tmp_path / "out" / "model"
    target.parent.mkdir()
    wide = msgspec.structs.replace(SMALL, hidden_size=48)
    checkpoint, _ = write_checkpoint(code_root, SMALL, says=wide)
    refused(code_root, checkpoint, target, r"of another model than checkpoints\.jsonl beside it says: \S+ has shape \(")
    checkpoint, _ = write_checkpoint(code_root, SMALL, says=msgspec.structs.replace(SMALL, num_layers=3))
    refused(code_root, checkpoint, target, r"layers\.2\S+ has shape None")
    checkpoint, _ = write_checkpoint(code_root, SMALL, says=msgspec.structs.replace(SMALL, num_heads=0))
    refused(code_root, checkpoint, target, "a shape that no model has")
    Runs(code_root).create("a", mixture="code", seed=99, global_batch=8, num_steps=8)
    refused(code_root, trained, target, "was not trained on run a of .*--root")


def test_a_target_that_is_taken_or_cannot_be_written_is_one_line(trained, tmp_path):
    root, full = trained.parents[1], tmp_path / "full"
    full.mkdir()
    (full / "notes").write_text("mine")
    refused(root, trained, full, "is not an empty folder")
    refused(root, trained, full / "notes", "is not an empty folder")
    refused(root, trained, full / "notes" / "model", "cannot be written: Not a directory")
    (tmp_path / "empty").mkdir()
    export_checkpoint(str(root), trained, tmp_path / "empty")
    assert (tmp_path / "empty" / "model.safetensors").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(trained, tmp_path):
    (tmp_path / "out").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        refused(trained.parents[1], trained, tmp_path / "out" / "model", "there is no room for .*model; free space")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_kill_leaves_no_half_written_folder(trained, tmp_path):
    """Given a kill when all is written but not renamed, then the folder is not there, and the next export makes it."""
    program, root, target = tmp_path / "program.py", trained.parents[1], tmp_path / "model"
    program.write_text(
        "import os, signal, sys\nfrom training.checkpoints import export\n"
        "export.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "export.export_checkpoint(*sys.argv[1:])\n"
    )
    killed = Forked(trainers(["--trainer", "composer"]), program, [str(root), str(trained), str(target)])
    assert killed.poll(timeout=200) == -signal.SIGKILL, killed.output()
    assert not target.exists()
    export_checkpoint(str(root), trained, target)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(("model", "unfinished"))] == ["model"]


def test_the_command_prints_where_the_model_comes_from(trained, tmp_path, capsys):
    words = [str(trained), str(tmp_path / "model"), "--root", str(trained.parents[1])]
    assert main(["export", *words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["folder"], row["run"], row["step"]) == (str(tmp_path / "model"), "a", 8)
    assert main(["export", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_streams_without_a_tokenizer_give_a_model_without_one(trained, tmp_path, code_root, capsys):
    Catalog(code_root).append("bare/go", np.zeros((40, SEQ_LEN), np.uint16), seq_len=SEQ_LEN)
    Mixtures(code_root).apply('name = "code"\nseq_len = 32\n[[component]]\nstreams = "bare/*"\nshare = 1.0\n')
    checkpoint, model = write_checkpoint(code_root, SMALL)
    assert main(["export", str(checkpoint), str(tmp_path / "model"), "--root", str(code_root)]) == 0
    assert "name no tokenizer" in capsys.readouterr().err
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "model")), logits(model), atol=1e-6, rtol=0
    )
    assert not list((tmp_path / "model").glob("tokenizer*"))


def test_the_module_of_the_export_loads_no_torch():
    import subprocess

    code = "import sys, training.checkpoints.export; assert not {'torch', 'transformers', 'composer'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ, timeout=120)


def test_an_error_of_the_checkpoints_is_a_checkpoint_error(trained, tmp_path):
    with pytest.raises(CheckpointError):
        export_checkpoint(str(trained.parents[1]), tmp_path, tmp_path / "model")
