"""The top, middle and bottom of a file, which a quality score is made from (DESIGN section 2)."""

CHARACTERS_PER_TOKEN = 3


def cut_sections(text: str, *, section_tokens: int) -> list[str]:
    """One to three sections, each of the characters that about `section_tokens` tokens take (3 characters a token).

    A text of one section's length or less is one section; one below two sections' length is its top and its bottom.
    """
    size = section_tokens * CHARACTERS_PER_TOKEN
    if len(text) <= size:
        return [text]
    if len(text) <= 2 * size:
        return [text[:size], text[-size:]]
    middle = (len(text) - size) // 2
    return [text[:size], text[middle : middle + size], text[-size:]]
