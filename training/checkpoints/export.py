"""Writes a checkpoint as a Hugging Face folder, which transformers and vLLM load without knowing phasemix.

Always holds:
- a checkpoint is read only if the record of its run names it, or if a person named its digest; then with `weights_only`;
- the folder appears whole, by a rename, or not at all;
- the weights are those of the checkpoint, bit for bit.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mixer import RunReader
from mixer.journal.journal import line_of
from streamer import Catalog
from streamer.catalog.registry import require_root
from streamer.packing.tokenizer import END_OF_DOCUMENT, end_of_document_id
from streamer.store.directory_store import sync
from streamer.wording import listed
from training.checkpoints import record
from training.checkpoints.choice import Say, choose
from training.checkpoints.files import NAME, NO_ROOM
from training.checkpoints.place import place_at
from training.errors import CheckpointError
from training.loading.position import digest_ledger
from training.phases.phase import ModelShape

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ABOUT = "phasemix.json"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from; `phasemix.json` in its folder.

    Attributes:
        run: The run that it was trained on.
        step: How many steps it was trained.
        sha256: The digest of the checkpoint, in hex.
        mixture: The version of the mixture that the last of these steps drew from.
        tokenizer: The fingerprint of the tokenizer; None when the run's streams name none.
        seq_len: The tokens of a sample.
    """

    run: str
    step: int
    sha256: str
    mixture: str
    tokenizer: str | None
    seq_len: int
    format: str = "export/1"


class Found(NamedTuple):
    """A checkpoint that may be loaded: its file, digest, trained steps, run and the shape of its model."""

    path: Path
    sha256: str
    step: int
    run: str
    shape: ModelShape


def export_checkpoint(
    root: str, checkpoint: str | Path, folder: str | Path, *, trusted: str | None = None, say: Say = lambda line: None
) -> Exported:
    """Writes a checkpoint as a Hugging Face Llama: weights, tokenizer, settings of a greedy generation and `phasemix.json`.

    Args:
        root: The catalog that the checkpoint's run and tokenizer are under.
        checkpoint: A file `step-NNNNNNNN.pt`, or a run's folder of checkpoints: then the newest one that may be loaded. A
            path, or an address on an object store.
        folder: What is written. It must be absent or empty.
        trusted: The SHA-256 of a checkpoint that the record of its folder does not name, which a person vouches for.
        say: Is told which checkpoints of a folder are passed over, and why.
    Returns: What `phasemix.json` says.
    Raises: CheckpointError for a checkpoint that must not or cannot be loaded, that is not of the root's run, or a folder
        that cannot be written; RunError, StoreError, StreamError for a run, a root or a tokenizer that is not there.
    """
    target = Path(folder).expanduser().absolute()
    check_target(target)
    require_root(str(root))
    found, catalog = find(str(checkpoint), trusted, say), Catalog(root)
    exported = describe(catalog, found)
    tokenizer = None if exported.tokenizer is None else catalog.load_tokenizer(exported.tokenizer)
    model = load_model(catalog, found, seq_len=exported.seq_len)
    with aside(target, sum(tensor.nbytes for tensor in model.state_dict().values())) as place:
        write(place, model, tokenizer, seq_len=exported.seq_len)
        (place / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(exported), indent=1) + b"\n")
    return exported


def check_target(target: Path) -> None:
    """Raises: CheckpointError unless a folder is absent or empty."""
    try:
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise unwritable(target, error) from error
    if taken:
        raise CheckpointError(f"{target} exists and is not an empty folder; name another folder, or remove this one")


def find(checkpoint: str, trusted: str | None, say: Say) -> Found:
    """The checkpoint that is meant, if it may be loaded. Raises: CheckpointError, StoreError."""
    folder, _, name = checkpoint.rpartition("/")
    named = NAME.fullmatch(name)
    place = place_at(folder or "." if named else checkpoint)
    chosen = choose(place, trusted=trusted, say=say, only=int(named[1]) if named else None)
    if chosen is None:
        raise CheckpointError(
            f"there is no checkpoint at {checkpoint}; name a file step-NNNNNNNN.pt, or the folder of a run's checkpoints, "
            "by default ROOT/checkpoints/RUN"
        )
    step, path, called, _ = chosen
    known = place.known()
    if not known:
        raise CheckpointError(
            f"checkpoint {called} has no {record.NAME} beside it, which says the run and the model's shape; copy it from "
            "the folder where the checkpoint was written"
        )
    line = known.get(step, max(known.values(), key=lambda saved: saved.step))  # all of a run's have one shape
    try:
        shape = msgspec.convert(line.model, ModelShape)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{place.named(record.NAME)} has no model's shape: {error}; restore it from a copy") from error
    sha256 = line.sha256 if trusted is None else record.digest(path)
    return Found(path, sha256, step, line.run, shape)


def describe(catalog: Catalog, found: Found) -> Exported:
    """What a checkpoint's run says of it. Raises: RunError."""
    line = line_of(catalog, found.run)
    last = max(line.newest.ledger.skips.behind(0, found.step) - 1, 0)  # the batch of the last step
    ledger = line.owner(last).ledger
    plan = ledger.plans[ledger.plan_at(last)]
    return Exported(
        run=found.run,
        step=found.step,
        sha256=found.sha256,
        mixture=plan.mixture,
        tokenizer=plan.tokenizer,
        seq_len=ledger.settings.seq_len,
    )


def load_model(catalog: Catalog, found: Found, *, seq_len: int) -> Any:
    """The LlamaForCausalLM of a checkpoint. Raises: CheckpointError when the file is of another model, run or root."""
    import torch
    from transformers import LlamaForCausalLM

    from training.checkpoints.weights import find_other, load_checkpoint
    from training.phases.llama import llama_config

    state = load_checkpoint(found.path)["state"]
    check_run(catalog, found, state)
    try:
        config = llama_config(found.shape, seq_len=seq_len)
        config.use_cache = True  # a training keeps none
        with torch.device("meta"):
            model = LlamaForCausalLM(config)
    except (ValueError, ArithmeticError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{record.NAME} beside checkpoint {found.path} gives a shape that no model has; restore it from a copy"
        ) from error
    weights = {name.removeprefix("model."): tensor for name, tensor in state["model"].items()}
    other = find_other(weights, model.state_dict(), wanted_by="record")
    if other is not None:
        raise CheckpointError(
            f"checkpoint {found.path} is of another model than {record.NAME} beside it says: {other}; "
            "restore both from one copy"
        )
    if wrong := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise CheckpointError(
            f"checkpoint {found.path} has NaN or infinity among its weights: {listed(wrong)}; take an earlier one"
        )
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    return model


def check_run(catalog: Catalog, found: Found, state: dict[str, Any]) -> None:
    """Raises: CheckpointError when the position in a checkpoint is not one of the root's run of that name."""
    position = (state.get("dataset_state") or {}).get("train")
    if position is None:
        return
    with RunReader(catalog.store, found.run, read_only=True) as reader:
        ledger = digest_ledger(reader, position["step"])
    if (position["run"], position["ledger"]) != (found.run, ledger):
        raise CheckpointError(
            f"checkpoint {found.path} was not trained on run {found.run} of {catalog.store.url}; name the root where it was "
            "trained with --root"
        )


def write(place: Path, model: Any, tokenizer: Tokenizer | None, *, seq_len: int) -> None:
    """Writes weights, tokenizer and settings into a folder."""
    from transformers import GenerationConfig, PreTrainedTokenizerFast

    end = None if tokenizer is None else end_of_document_id(tokenizer)
    model.config.eos_token_id = end
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    model.save_pretrained(place)
    if tokenizer is not None:
        tokenizer.post_processor = None  # samples have no tokens but those of the text and the end of a document
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token=END_OF_DOCUMENT,
            additional_special_tokens=[token for token in special if token != END_OF_DOCUMENT],
            model_max_length=seq_len,
            model_input_names=["input_ids", "attention_mask"],
            clean_up_tokenization_spaces=False,
        ).save_pretrained(place)


@contextmanager
def aside(target: Path, size_bytes: int) -> Iterator[Path]:
    """A folder beside the target that becomes the target. Raises: CheckpointError when it cannot be written."""
    from safetensors import SafetensorError

    place = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(place, ignore_errors=True)  # what a kill left
        place.mkdir(parents=True)
        if shutil.disk_usage(place).free < size_bytes:
            raise no_room(target)
        yield place
        for path in place.iterdir():
            sync(path)
        place.rename(target)
        sync(target.parent)
    except OSError as error:
        raise unwritable(target, error) from error
    except SafetensorError as error:  # its text alone says why
        number = re.search(r"os error (\d+)", str(error))
        known = OSError(int(number[1]), os.strerror(int(number[1]))) if number else error
        raise unwritable(target, known) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def no_room(target: Path) -> CheckpointError:
    return CheckpointError(f"there is no room for {target}; free space, or name a folder on another disk")


def unwritable(target: Path, error: Exception) -> CheckpointError:
    """What is said when a folder cannot be written."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return no_room(target)
    why = getattr(error, "strerror", None) or error
    return CheckpointError(f"{target} cannot be written: {why}; name a folder that you may write")
