"""In which encoding a file is written that is not UTF-8.

Always holds: a guess depends on the bytes alone, and costs no more for a long file than for one of 16 KB; what no
candidate explains has no encoding. A guess is asked for where the bytes are no UTF-8, and nowhere else.

How: byte order marks first, then where the NUL bytes of UTF-16 stand, then charset-normalizer over the lines that have
bytes beyond ASCII, among the encodings that source code is written in. With hardly any such bytes there is nothing to
tell encodings apart by, and Western European is taken, which reads any of them.
"""

import codecs

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CANDIDATES = ["cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1252", "cp1251", "koi8_r", "cp1250", "iso8859_1"]
WESTERN = ("cp1252", "iso8859_1")
HEAD_BYTES = 1 << 14
LEAST_FOREIGN_BYTES = 8


def utf16_order(data: bytes) -> str | None:
    """UTF-16 without a byte order mark, told by ASCII characters whose other byte is NUL; None for anything else."""
    head = data[: HEAD_BYTES & ~1]
    half = len(head) // 2
    if half < 2 or len(data) % 2:
        return None
    first, second = head[0::2].count(0), head[1::2].count(0)
    for nuls, others, encoding in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        if nuls >= 0.4 * half and others == 0:
            return encoding
    return None


def guess_encoding(data: bytes) -> str | None:
    """The encoding of bytes that are no UTF-8, or None."""
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    head = b"\n".join(lines)[:HEAD_BYTES]
    foreign = len(head) - len(head.translate(None, delete=bytes(range(128, 256))))
    if foreign >= LEAST_FOREIGN_BYTES:
        from charset_normalizer import from_bytes

        best = from_bytes(head, cp_isolation=CANDIDATES, threshold=0.4).best()
        if best is not None and reads(data, best.encoding):
            same = reads(head, "cp1252") and head.decode("cp1252") == head.decode(best.encoding)
            return "cp1252" if same else str(best.encoding)
    return next((encoding for encoding in WESTERN if reads(data, encoding)), None)


def reads(data: bytes, encoding: str) -> bool:
    """Whether all bytes have a meaning in an encoding, and none is a control character there."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return not any("\x80" <= character <= "\x9f" for character in set(text))
