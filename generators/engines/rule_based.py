"""Writes a file from a seed by rules, not by a model: some of the seed's declarations under other names, with a heading.

Always holds: deterministic in prompt text alone; names are changed consistently, so what parsed still parses. Functions that
the seed does not have follow, since a file that is its seed under other names is refused.
"""

import re
from typing import Any

import xxhash

from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.gates.syntax import parser

LANGUAGE = re.compile("[a-z-]+")
VARIATION = re.compile(r"variation ([0-9]{1,9})")
NAMES = {
    "identifier", "type_identifier", "field_identifier", "property_identifier", "simple_identifier", "variable_name",
    "shorthand_property_identifier", "constant", "namespace_identifier",
}  # fmt: skip
WORDS = (
    "amount", "basket", "branch", "bridge", "budget", "center", "column", "cursor", "digest", "element", "engine", "factor",
    "folder", "garden", "handle", "island", "journey", "ledger", "margin", "member", "metric", "module", "number", "object",
    "parcel", "planet", "pocket", "record", "result", "routine", "sample", "season", "signal", "source", "summary", "symbol",
    "ticket", "total", "valley", "vector", "village", "window", "worker", "zone",
)  # fmt: skip
PROSE = {"comment", "line_comment", "block_comment", "string_content", "string_fragment"}
PROSE_WORD = re.compile(rb"[A-Za-z]{3,}")
HASH_COMMENTS = {"python", "ruby", "shell"}
MOST_DECLARATIONS = 12
INTEGERS = {"java": "int ", "c": "int ", "cpp": "int ", "csharp": "int ", "dart": "int ", "php": "$"}  # before a name
C_LIKE = "int {name}({first}, {second}) {{\n    return {sum};\n}}\n"
SCRIPT = "function {name}({first}, {second}) {{\n    return {sum};\n}}\n"
FUNCTIONS = {
    "python": "def {name}({first}, {second}):\n    return {sum}\n", "c": C_LIKE, "cpp": C_LIKE, "dart": C_LIKE,
    "java": "class {name} {{\n    static " + C_LIKE.replace("{name}", "total") + "}}\n",
    "csharp": "class {name} {{\n    static " + C_LIKE.replace("{name}", "total") + "}}\n",
    "javascript": SCRIPT, "php": SCRIPT,
    "typescript": SCRIPT.replace(",", ": number,").replace(") {{", ": number): number {{"),
    "go": "func {name}({first} int, {second} int) int {{\n\treturn {sum}\n}}\n",
    "sql": "SELECT {sum} AS total FROM {name};\n", "ruby": "def {name}({first}, {second})\n  {sum}\nend\n",
    "rust": "fn {name}({first}: i64, {second}: i64) -> i64 {{\n    {sum}\n}}\n",
    "scala": "object {name} {{\n  def total({first}: Int, {second}: Int): Int = {sum}\n}}\n",
    "kotlin": "fun {name}({first}: Int, {second}: Int): Int = {sum}\n", "shell": "{name}() {{\n  echo $(({sum}))\n}}\n",
    "swift": "func {name}({first}: Int, {second}: Int) -> Int {{\n    return {sum}\n}}\n",
}  # fmt: skip
FEWEST_FUNCTIONS, BYTES_A_FUNCTION = 2, 400  # of the seed's part, for which there is one
TERMS = range(6, 10)


def write_file(prompt: str) -> str:
    """A file in the language and from the seed that a prompt names; empty when it names none."""
    language, _, text = prompt.partition("Seed file (")[2].partition("):\n```\n")
    seed, found, _ = text.rpartition("\n```")
    if not found or not LANGUAGE.fullmatch(language):
        return ""
    variation = int(number[1]) if (number := VARIATION.search(prompt)) else 1
    key = xxhash.xxh3_64_intdigest(f"{variation}\0{seed}".encode())
    if language == NOTEBOOK:
        language, seed = "python", as_script(seed)
    file = heading(language, variation) + rename(seed, language, key)
    count = max(FEWEST_FUNCTIONS, len(file) // BYTES_A_FUNCTION)
    return "\n".join([file, *(write_function(language, hash_of(key, str(number))) for number in range(count))])


def write_function(language: str, key: int) -> str:
    """A function of two numbers whose result is a sum and product of them and others, as the key has it."""
    first, second = (WORDS[hash_of(key, word) % len(WORDS)] for word in ("first", "second"))
    mark, before = "$" if language == "php" else "", INTEGERS.get(language, "")
    terms = []
    for number in range(TERMS[key % len(TERMS)]):
        choice = hash_of(key, str(number))
        term = (f"{mark}{first}", f"{mark}{second}", str(choice // 8 % 1000))[choice % 3]
        if choice % 4 == 0:
            term = f"({term} {'+-*'[choice // 64 % 3]} {choice // 512 % 100})"
        terms += [term, "+-*"[choice // 32 % 3]]
    name = new_name(b"Total" if FUNCTIONS[language].startswith(("class", "object")) else b"total", key).decode()
    return FUNCTIONS[language].format(name=name, first=before + first, second=before + second, sum=" ".join(terms[:-1]))


def heading(language: str, variation: int) -> str:
    mark = "#" if language in HASH_COMMENTS else "--" if language == "sql" else "//"
    start = "<?php\n" if language == "php" else ""
    return f"{start}{mark} Variation {variation}, written by rules, not by a model.\n"


def rename(seed: str, language: str, key: int) -> str:
    """Whole declarations from the seed's top, those that parse, with every name changed."""
    source = seed.encode()
    root = parser(language).parse(source).root_node
    kept = [node for node in root.named_children if not node.has_error and node.type != "php_tag"]
    if len(kept) > MOST_DECLARATIONS:
        head = kept[:2]  # what a file has to begin with: package, module, imports
        rest = sorted(kept[2:], key=lambda node: hash_of(key, str(node.start_byte)))[: MOST_DECLARATIONS - 2]
        kept = [*head, *sorted(rest, key=lambda node: node.start_byte)]
    names: dict[bytes, bytes] = {}
    return "\n\n".join(renamed(node, source, key, names).decode(errors="replace") for node in kept) + "\n"


def renamed(node: Any, source: bytes, key: int, names: dict[bytes, bytes]) -> bytes:
    """The bytes of a node with its names changed."""
    out, place, waiting = [], node.start_byte, [node]
    while waiting:
        here = waiting.pop()
        if here.child_count == 0 and here.type in NAMES and here.end_byte - here.start_byte > 2:
            old = source[here.start_byte : here.end_byte]
            out += [source[place : here.start_byte], names.setdefault(old, new_name(old, key))]
            place = here.end_byte
        elif here.type in PROSE:
            words = PROSE_WORD.sub(lambda word: prose_word(word[0], key), source[here.start_byte : here.end_byte])
            out += [source[place : here.start_byte], words]
            place = here.end_byte
            continue
        waiting += reversed(here.children)
    out.append(source[place : node.end_byte])
    return b"".join(out)


def new_name(old: bytes, key: int) -> bytes:
    """Another name with the old one's case at its start."""
    number = hash_of(key, old.decode(errors="replace"))
    name = f"{WORDS[number % len(WORDS)]}_{WORDS[number // 64 % len(WORDS)]}{number // 4096 % 100}"
    return (name.capitalize() if old[:1].isupper() else name).encode()


def prose_word(old: bytes, key: int) -> bytes:
    """Another word for one of a comment or a text."""
    return WORDS[hash_of(key, old.decode()) % len(WORDS)].encode()


def hash_of(key: int, text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode(), seed=key)
