"""Fill-in-the-middle: some documents of a batch are rearranged, so that a model learns to fill a gap.

Always holds: what becomes of a batch depends on the seed, the batch's number, the row's place in the global batch and its
tokens alone. So a resumed training and one of another number of ranks change each batch alike, and positions, origins and
traces stay those of the run.

Source: Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle": a document is cut at two random
places into prefix, middle and suffix, and rearranged as PREFIX prefix SUFFIX suffix MIDDLE middle, or with the suffix first
as PREFIX SUFFIX suffix MIDDLE prefix middle. Here the places are between tokens. A rearranged document has three tokens
more; what is then behind the sample's end is cut off.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.reading.snapshot_loader import Batch

DRAWS = 4  # numbers a document: whether, which order, two cuts


class FillInTheMiddle(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents are rearranged, and by which token ids.

    Attributes:
        share: Of the documents, from 0 to 1. A document that goes over a sample's end counts in each sample.
        suffix_first_share: Of those, the ones whose suffix comes first.
        prefix_id: The id before the prefix.
        suffix_id: The id before the suffix.
        middle_id: The id before the middle.
        end_id: The id that ends a document, which stays behind it. None: documents have none.
        seed: Another one chooses other documents and places.
    """

    share: float
    suffix_first_share: float = 0.5
    prefix_id: int
    suffix_id: int
    middle_id: int
    end_id: int | None = None
    seed: int = 0

    def apply(self, batch: Batch, *, step: int, first_row: int) -> Batch:
        """The batch of that number, whose rows begin at `first_row` of the global batch; it must have boundaries.

        Documents of which something is redacted stay as they are.
        """
        assert batch.boundaries is not None
        tokens, boundaries = batch.tokens.copy(), batch.boundaries.copy()
        redacted = None if batch.redacted is None else batch.redacted.copy()
        for row, ends in enumerate(batch.boundaries):
            mask = None if batch.redacted is None else batch.redacted[row]
            order, cuts = self._order(batch.tokens[row], ends, mask, step, first_row + row)
            if order is None:
                continue
            sentinels = order < 0
            tokens[row] = np.where(sentinels, -1 - order, batch.tokens[row][np.where(sentinels, 0, order)])
            boundaries[row] = cuts
            if redacted is not None and batch.redacted is not None:
                redacted[row] = ~sentinels & batch.redacted[row][np.where(sentinels, 0, order)]
        return batch._replace(tokens=tokens, boundaries=boundaries, redacted=redacted)

    def _order(
        self,
        tokens: npt.NDArray[Any],
        ends: npt.NDArray[np.int32],
        redacted: npt.NDArray[np.bool_] | None,
        step: int,
        row: int,
    ) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.int32]]:
        """For each place of a row the place whose token comes there, or -1 - id; and the new boundaries. None: it stays."""
        draws = np.random.Philox(key=np.array([self.seed % 2**64, step], np.uint64), counter=(0, 0, 0, row)).random_raw(
            DRAWS * (len(ends) - 1)
        )
        chances = (draws >> np.uint64(11)).astype(np.float64).reshape(-1, DRAWS) / (1 << 53)
        pieces, lengths, is_changed = list[npt.NDArray[np.int64]](), [0], False
        for start, end, (chance, side, one, two) in zip(ends[:-1].tolist(), ends[1:].tolist(), chances, strict=True):
            piece = np.arange(start, end)
            last = end - 1 if end > start and tokens[end - 1] == self.end_id else end
            is_text = last > start and tokens[start] != self.end_id  # and no padding
            if chance < self.share and is_text and (redacted is None or not redacted[start:end].any()):
                piece, is_changed = (
                    self._rearranged(piece, last - start, sorted((one, two)), side < self.suffix_first_share),
                    True,
                )
            pieces.append(piece)
            lengths.append(len(piece))
        if not is_changed:
            return None, ends
        return np.concatenate(pieces)[: len(tokens)], np.minimum(np.cumsum(lengths), len(tokens)).astype(np.int32)

    def _rearranged(
        self, piece: npt.NDArray[np.int64], length: int, chances: list[float], is_suffix_first: bool
    ) -> npt.NDArray[np.int64]:
        """A document's places in their new order; of its first `length` tokens, what ends it stays behind them."""
        low, high = (int(chance * (length + 1)) for chance in chances)
        prefix, middle, suffix = piece[:low], piece[low:high], piece[high:length]
        before, between, behind = ([-1 - found] for found in (self.prefix_id, self.suffix_id, self.middle_id))
        parts = (
            (before, between, suffix, behind, prefix, middle)
            if is_suffix_first
            else (before, prefix, between, suffix, behind, middle)
        )
        return np.concatenate([*parts, piece[length:]])


def starts_of(boundaries: npt.NDArray[np.int32], seq_len: int) -> npt.NDArray[np.bool_]:
    """(rows, seq_len): where a document begins behind another one, whose text says nothing of how it begins."""
    found = np.zeros((len(boundaries), seq_len + 1), np.bool_)
    np.put_along_axis(found, boundaries.astype(np.int64), True, axis=1)
    found[:, 0] = False
    return found[:, :seq_len]
