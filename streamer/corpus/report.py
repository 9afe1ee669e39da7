"""What a build did, in numbers."""

import msgspec


class LanguageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Documents and tokens (end-of-document tokens included, padding not) of one language."""

    documents: int = 0
    tokens: int = 0
    heldout_documents: int = 0
    heldout_tokens: int = 0


class CorpusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a build. `files` = sum of `dropped` + `documents` + held-out documents.

    `streams`: samples of each stream. `annotator_auc`: good against random files, each scored by a head that had not
    seen it. `student_correlation`: rank correlation of student and annotator on files new to the student.
    `seconds`: of each step; steps run beside each other, so they may sum to more than `total`.
    """

    build: str
    files: int
    dropped: dict[str, int]
    documents: int
    heldout_documents: int
    text_bytes: int
    languages: dict[str, LanguageReport]
    streams: dict[str, int]
    tokenizer: str
    vocabulary: int
    annotator: str
    annotated_files: int
    annotator_auc: float
    student_correlation: float
    seconds: dict[str, float]
