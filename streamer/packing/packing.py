"""Documents to samples of a fixed length, and which document lies where in them.

Always holds: the rows, read one after the other and without padding, are the documents' tokens, each followed by one
end-of-document token; every token that is no padding lies in exactly one piece; a document's pieces come in order.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.documents.document import Document
from streamer.errors import CorpusError

Rows = npt.NDArray[Any]


class Piece(msgspec.Struct, frozen=True):
    """Tokens [start, end) of row `sample` belong to document `index` (its end-of-document token included)."""

    sample: int
    start: int
    end: int
    index: int


class Packed(msgspec.Struct, frozen=True):
    """(samples, seq_len) rows, their pieces, and how many tokens at the end of the last row are padding."""

    rows: Rows
    pieces: list[Piece]
    padding_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens that are no padding."""
        return int(self.rows.size) - self.padding_tokens


def pack(
    documents: Iterable[Sequence[int] | npt.NDArray[Any]], *, seq_len: int, dtype: str, end_of_document_id: int
) -> Packed:
    """Concatenates token ids and cuts them into rows; the last row is padded with end-of-document tokens.

    Args: documents, one array of ids each. Returns: no rows for no documents.
    Raises: CorpusError when an id does not fit the dtype or `seq_len` is below 2.
    """
    if seq_len < 2:
        raise CorpusError(f"seq_len {seq_len} is below 2: a sample needs a token to predict from; give at least 2")
    limit = int(np.iinfo(dtype).max)
    flat, end = (
        bytearray(),
        np.array([end_of_document_id], np.int64),
    )  # grows in place; all documents' own arrays were twice it
    pieces: list[Piece] = []
    place = 0
    for index, document in enumerate(documents):
        ids = np.append(np.asarray(document, np.int64), end)
        if ids.max() > limit:
            raise CorpusError(f"token id {ids.max()} does not fit {dtype} (at most {limit}); use dtype uint32")
        flat += ids.astype(dtype).tobytes()
        stop_at = place + len(ids)
        while place < stop_at:
            sample, start = divmod(place, seq_len)
            stop = min(seq_len, start + stop_at - place)
            pieces.append(Piece(sample, start, stop, index))
            place += stop - start
    padding = -place % seq_len
    flat += end.repeat(padding).astype(dtype).tobytes()
    return Packed(np.frombuffer(flat, dtype).reshape(-1, seq_len), pieces, padding)


def sidecar_rows(packed: Packed, documents: list[Document]) -> list[dict[str, Any]]:
    """The pieces as the rows of a part's sidecar."""
    return [
        {
            "sample": piece.sample,
            "start": piece.start,
            "end": piece.end,
            "document": documents[piece.index].document,
            "repository": documents[piece.index].repository,
            "path": documents[piece.index].path,
            "license": documents[piece.index].license,
            "language": documents[piece.index].language,
            "score": documents[piece.index].score,
        }
        for piece in packed.pieces
    ]
