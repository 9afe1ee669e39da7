"""Texts of two kinds that a small annotator can tell, and its recipe."""

NGRAMS = 'name = "mine"\nembedder = "ngrams"\nsection_tokens = 32\nfiles = 30\n[[positives]]\nfiles = ["good/*.py"]\n'


def good(number: int) -> str:
    head = f'"""Adds {number}."""\n\n\ndef add_{number}(value: int) -> int:\n'
    return head + f'    """Adds {number} to a value."""\n    return value + {number}\n'


def bad(number: int) -> str:
    return "".join(f"INSERT INTO t{number} VALUES ({row}, 'x{row * number}');\n" for row in range(3 + number % 5))
