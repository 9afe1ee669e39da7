"""Passages: the documents in rows of a stream are the ones that were published, with their text and scores."""

from pathlib import Path

import numpy as np
import pytest
from streaming import MDSWriter

from streamer import Catalog, Document
from streamer.documents.document import COLUMNS, document_id
from streamer.errors import StreamError
from streamer.packing import tokenizer as tokenizers
from streamer.packing.packing import pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id
from streamer.reading.looking.passages import Passages, Place


def sources(count: int) -> list[Document]:
    texts = [f"def f{number}(): return {number}\n" * (1 + number % 3) for number in range(count)]
    return [
        Document(
            text=text, path=f"{number}.py", repository="r", language="python", license="MIT",
            document=document_id("r", f"{number}.py", text), score=None if number % 4 == 0 else number / 7,
        )
        for number, text in enumerate(texts)
    ]  # fmt: skip


def test_rows_of_documents_are_those_documents_over_parts_and_shards(root: Path, tmp_path: Path) -> None:
    documents, catalog = sources(40), Catalog(root)
    for half, rows in enumerate((documents[:25], documents[25:])):
        with MDSWriter(out=str(tmp_path / str(half)), columns=COLUMNS, size_limit=900, compression="zstd") as writer:
            for document in rows:
                score = float("nan") if document.score is None else document.score
                writer.write({**{name: getattr(document, name) for name in COLUMNS}, "score": score})
        catalog.publish_directory("documents/python", tmp_path / str(half))
    assert len(catalog.stream("documents/python").parts[0].shards) > 1
    found = Passages(catalog).window("documents/python", 20, 9)
    assert [(one.text, one.path, one.document, one.score) for one in found] == [
        (document.text, document.path, document.document, document.score) for document in documents[20:29]
    ]
    assert [(one.part, one.row) for one in found][4:6] == [(found[4].part, 24), (found[5].part, 0)]
    assert len(Passages(catalog).window("documents/python", 38, 9)) == 2
    assert Passages(catalog).window("documents/python", 40, 9) == []


def test_rows_of_tokens_have_each_documents_own_text_and_score(root: Path) -> None:
    documents, catalog = sources(30), Catalog(root)
    tokenizer = tokenizers.train([document.text for document in documents], vocabulary=300)
    packed = pack(
        [tokenizer.encode(document.text).ids for document in documents],
        seq_len=16, dtype="uint16", end_of_document_id=end_of_document_id(tokenizer),
    )  # fmt: skip
    stamp = catalog.put_tokenizer(tokenizer.to_str())
    catalog.append("raw/python", packed.rows, seq_len=16, tokenizer=stamp, documents=sidecar_rows(packed, documents))
    part = catalog.stream("raw/python").parts[0].number
    places = [Place(part, row) for row in (3, 0, len(packed.rows) - 1)]
    found = Passages(catalog).read("raw/python", places)
    assert set(found) == set(places)
    by_id = {document.document: document for document in documents}
    for place, passages in found.items():
        assert passages
        for one in passages:
            assert one.document is not None
            ids = packed.rows[place.row, one.start : one.end].tolist()
            assert one.text == tokenizer.decode(ids, skip_special_tokens=False)
            assert one.score == by_id[one.document].score
            assert one.text.split("<|")[0] in by_id[one.document].text


def test_rows_without_sidecar_or_tokenizer_are_said_to_have_none(root: Path) -> None:
    catalog = Catalog(root)
    catalog.append("raw/go", np.arange(32).reshape(4, 8), seq_len=8)
    found = Passages(catalog).window("raw/go", 1, 2)
    assert [(one.row, one.start, one.end, one.document, one.text) for one in found] == [
        (1, 0, 8, None, None), (2, 0, 8, None, None),
    ]  # fmt: skip
    with pytest.raises(StreamError, match=r"stream raw/rust does not exist under .*; see phasemix streams list"):
        Passages(catalog).window("raw/rust", 0, 1)
