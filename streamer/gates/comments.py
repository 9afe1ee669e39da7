"""The comments of a file by its lines, for any of the languages, without a parser.

Always holds: one pass, no line is looked at twice. A text with comment marks inside of a string may be read wrongly; the
gates that ask here look at the heads of files, or at files that have hardly anything else.
"""

import re
from collections.abc import Iterable, Iterator

LINE_MARK = re.compile(r"(?:///?!?|\#+!?|--+|;+|%+|\*+/?)\s?")
HASH_MARK = re.compile(r"\#+!?\s?")
QUOTES = (('"""', '"""'), ("'''", "'''"))
BLOCKS = (("/*", "*/"), ("<!--", "-->"), *QUOTES, ("{-", "-}"))
HASH_ALONE = frozenset({"python", "ruby", "shell", "jupyter-notebook"})  # a `//` in one of these is text that it writes
PREPROCESSED = frozenset({"c", "cpp", "csharp"})
NO_COMMENT = re.compile(
    r"\s*+#\s*+(?:include|define|if|ifn?def|endif|else|elif|undef|pragma|error|import|line|region|endregion)\b"
)


def split_comments(lines: Iterable[str], language: str) -> Iterator[tuple[str, bool]]:
    """Each line without its comment marks, and whether it is a comment; a blank line between comments is none."""
    blocks = QUOTES if language in HASH_ALONE else BLOCKS
    end = ""
    for line in lines:
        bare = line.strip()
        if end:
            before, mark, after = bare.partition(end)
            yield before.lstrip("*#! "), True
            if mark:
                end = ""
            continue
        opened = next(((start, stop) for start, stop in blocks if bare.startswith(start)), None)
        if opened is not None:
            before, mark, after = bare[len(opened[0]) :].partition(opened[1])
            end = "" if mark else opened[1]
            yield before.lstrip("*! "), not after.strip()
            continue
        mark_found = HASH_MARK.match(bare) if language in HASH_ALONE else LINE_MARK.match(bare)
        is_comment = mark_found is not None and (language not in PREPROCESSED or NO_COMMENT.match(bare) is None)
        yield bare[mark_found.end() :] if is_comment and mark_found is not None else bare, is_comment
