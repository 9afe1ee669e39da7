"""Bits per byte of held-out documents.

Always holds:
- the bytes are those of the text of the predicted tokens. Padding and end-of-document tokens have none, so that figures of
  different tokenizers can be compared;
- a model is measured only on ids of the tokenizer that it was trained on. The figure would mean nothing otherwise.

How: the bytes of a token come from a table that is made once from the tokenizer of the streams.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from streamer import Catalog, SnapshotLoader
from streamer.catalog.manifest import Snapshot
from streamer.errors import PhasemixError
from streamer.packing.tokenizer import end_of_document_id
from streamer.reading.snapshot_loader import Batch
from training.errors import HeldoutError
from training.phases.phase import Heldout

# (rows, seq_len) tokens -> nats of the predicted tokens, (rows, seq_len - 1)
Score = Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over predicted tokens."""

    nats: float = 0.0
    text_bytes: int = 0
    tokens: int = 0

    @property
    def bits_per_byte(self) -> float | None:
        return self.nats / math.log(2) / self.text_bytes if self.text_bytes else None

    @property
    def loss(self) -> float | None:
        """Nats a predicted token."""
        return self.nats / self.tokens if self.tokens else None


def check_heldout(catalog: Catalog, settings: Heldout, *, tokenizer: str | None) -> bool:
    """Whether there are held-out samples to evaluate a model on that was trained with `tokenizer`.

    Raises: HeldoutError when there are and they cannot be evaluated: streams of several lengths, types or tokenizers, ids of
    another tokenizer than the run's or of an unknown one, a tokenizer that is missing or loses text.
    """
    found = [snapshot for snapshot in catalog.match(settings.streams) if snapshot.kind == "tokens" and snapshot.samples]
    if not found:
        return False
    first, leave_out = found[0], "or add --set heldout.streams= to train without an evaluation"
    for other in found[1:]:
        if other.schema != first.schema:
            raise HeldoutError(
                f"held-out streams {first.name} ({describe(first)}) and {other.name} ({describe(other)}) cannot be "
                f"evaluated together; name one kind with --set heldout.streams=GLOB, {leave_out}"
            )
    if first.tokenizer is None:
        raise HeldoutError(
            f"held-out stream {first.name} has no tokenizer, so the bytes of its text are not known; publish it with "
            f"--tokenizer, {leave_out}"
        )
    if first.tokenizer != tokenizer:
        trained_on = "streams without a tokenizer" if tokenizer is None else f"ids of tokenizer {tokenizer}"
        raise HeldoutError(
            f"held-out stream {first.name} has ids of tokenizer {first.tokenizer}, but the run draws from {trained_on}, so "
            f"its loss would mean nothing; name held-out streams of the run's tokenizer with --set heldout.streams=GLOB, "
            f"{leave_out}"
        )
    try:
        catalog.load_tokenizer(first.tokenizer)
    except PhasemixError as error:
        raise HeldoutError(f"held-out stream {first.name} cannot be evaluated: {error}; {leave_out}") from error
    return True


def describe(snapshot: Snapshot) -> str:
    return f"seq_len {snapshot.seq_len}, {snapshot.dtype}, tokenizer {snapshot.tokenizer}"


class Samples(NamedTuple):
    """Held-out samples, or a rank's part of them, and `nothing`, (1, seq_len), a row of the same kind that is none of them.

    `streams`: names by the index in an origin; `lengths`: bytes of each token id; `end`: the id behind each document.
    """

    batches: list[Batch]
    streams: list[str]
    lengths: npt.NDArray[np.int64]
    end: int
    nothing: npt.NDArray[Any]

    def part(self, rank: int, world_size: int) -> Samples:
        """Every so manieth batch, from the rank's own on."""
        return self._replace(batches=self.batches[rank::world_size])


def load(root: str, settings: Heldout, *, tokenizer: str | None) -> Samples | None:
    """Reads the samples, which are spread evenly over the streams; None when no stream matches.

    Raises: HeldoutError as `check_heldout`; StreamError, PartError, StoreError for samples that cannot be read.
    """
    catalog = Catalog(root)
    if not check_heldout(catalog, settings, tokenizer=tokenizer):
        return None
    samples = SnapshotLoader(root, settings.streams).samples
    stride, rows = -(-samples // max(settings.max_samples, 1)), settings.batch_samples
    loader = SnapshotLoader(root, settings.streams, batch_rows=rows, stride=stride)
    loaded = catalog.load_tokenizer(loader.schema.tokenizer)
    nothing = np.zeros((1, loader.schema.seq_len or 1), np.int64)
    return Samples(list(loader), loader.streams, bytes_of_tokens(loaded), end_of_document_id(loaded), nothing)


def measure(samples: Samples, score: Score, *, calls: int = 0) -> dict[str, Totals]:
    """Sums by stream over a rank's samples. `score` is called for each batch, and for nothing until there were `calls`."""
    totals: dict[str, Totals] = {}
    for batch in samples.batches:
        rows, of_rows = batch.tokens, batch.origin["stream"]
        kept = ~padding(rows, samples.end)[:, 1:]
        if batch.redacted is not None:
            kept &= ~batch.redacted[:, 1:]
        nats = np.where(kept, score(rows), 0.0).sum(axis=1)
        text_bytes = np.where(kept, samples.lengths[rows[:, 1:]], 0).sum(axis=1)
        for stream in np.unique(of_rows[kept.any(axis=1)]).tolist():
            here, name = of_rows == stream, samples.streams[stream]
            found = Totals(
                nats=float(nats[here].sum()), text_bytes=int(text_bytes[here].sum()), tokens=int(kept[here].sum())
            )
            totals[name] = add(totals.get(name, Totals()), found)
    for _ in range(calls - len(samples.batches)):
        score(samples.nothing)
    return totals


def merge(parts: list[dict[str, Totals]]) -> dict[str, Totals]:
    """The sums of several ranks, by stream, and of all streams under `all`."""
    merged: dict[str, Totals] = {}
    for part in parts:
        for name, totals in part.items():
            merged[name] = add(merged.get(name, Totals()), totals)
    total = Totals()
    for totals in merged.values():
        total = add(total, totals)
    return {"all": total, **dict(sorted(merged.items()))} if merged else {}


def add(one: Totals, other: Totals) -> Totals:
    return Totals(nats=one.nats + other.nats, text_bytes=one.text_bytes + other.text_bytes, tokens=one.tokens + other.tokens)


def padding(rows: npt.NDArray[Any], end: int) -> npt.NDArray[np.bool_]:
    """Which tokens pad a row: end-of-document tokens behind another one. (rows, seq_len)."""
    found = np.zeros(rows.shape, bool)
    found[:, 1:] = (rows[:, 1:] == end) & (rows[:, :-1] == end)
    return found


def bytes_of_tokens(tokenizer: Any) -> npt.NDArray[np.int64]:
    """Bytes of text of each token id; 0 for special tokens.

    In a byte-level vocabulary each character of a token stands for one byte, also where a token ends inside a character. In
    others a sign stands for a blank, and `<0x0A>` for one byte, where the decoder says so.
    """
    document = json.loads(tokenizer.to_str())
    decoder: dict[str, Any] = document.get("decoder") or {}
    kinds: dict[Any, dict[str, Any]] = {one.get("type"): one for one in decoder.get("decoders", [decoder])}
    blank = kinds.get("Metaspace", {}).get("replacement") or kinds.get("Replace", {}).get("pattern", {}).get("String")
    special = {token["id"] for token in document.get("added_tokens", []) if token.get("special")}
    plain = {token["id"]: token["content"] for token in document.get("added_tokens", []) if not token.get("special")}
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    lengths = np.zeros(max(vocabulary.values()) + 1, np.int64)
    for token, number in vocabulary.items():
        if number in plain:
            lengths[number] = len(plain[number].encode())
        elif number not in special:
            is_byte = "ByteFallback" in kinds and re.fullmatch("<0x[0-9A-F]{2}>", token)
            text = token.replace(blank, " ") if blank else token
            lengths[number] = 1 if is_byte else len(token) if "ByteLevel" in kinds else len(text.encode())
    return lengths
