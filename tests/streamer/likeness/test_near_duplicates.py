"""Which files count as the same: planted copies of real files, and files that only look alike."""

import keyword
import random
import re
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from duplicate_index import DuplicateIndex

from streamer.documents.text import DropReason
from streamer.likeness.code_words import code_words, find_words, shingle_hashes, without_comments
from streamer.likeness.near_duplicates import USUAL, Duplicates, sign

HEADER = "// Copyright 2021 The Authors. All Rights Reserved.\n" + "".join(
    f"// Licensed under the terms number {number}, without warranties or conditions of any kind\n" for number in range(12)
)
NAME = re.compile(r"[A-Za-z_]\w+")


def verdicts(files: dict[str, str], language: str = "python", rule: Duplicates = USUAL) -> list[str]:
    """The files that are kept, each judged after those before it."""
    index = DuplicateIndex(rule)
    signatures = sign(list(files.values()), [language] * len(files), rule)
    return [
        name
        for (name, text), signature in zip(files.items(), signatures, strict=True)
        if index.add(text, language, signature) is None
    ]


@pytest.fixture(scope="module")
def originals() -> list[str]:
    """Files of Python's standard library, none of which is a near-duplicate of another."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in sorted(library.glob("*.py")) if 1500 < path.stat().st_size < 40_000]
    files = {path.name: path.read_text() for path in paths[:120]}
    return [files[name] for name in verdicts(files)]


def white_space(text: str, chance: random.Random) -> str:
    return "\n".join(line.rstrip().replace("    ", "\t") + "\n" * chance.randrange(2) for line in text.split("\n"))


def reordered(text: str, chance: random.Random) -> str:
    head, *parts = re.split(r"(?m)^(?=(?:def|class|@)\b|@)", text)
    chance.shuffle(parts)
    return head + "".join(parts)


def comments(text: str, chance: random.Random) -> str:
    changed = []
    for line in text.split("\n"):
        is_code_alone = "#" in line and '"' not in line and "'" not in line
        changed.append(f"{line.split('#')[0]}# said in other words {chance.random()}" if is_code_alone else line)
        if chance.random() < 0.15:
            changed.append(f"# a remark, number {chance.randrange(10**6)}, of whoever copied this")
    return "\n".join(changed)


def header(text: str, chance: random.Random) -> str:
    return "".join(f"# line {number} of another licence, {chance.random()}\n" for number in range(25)) + text


def renamed(text: str, chance: random.Random) -> str:
    """With a tenth of its names other ones."""
    names = sorted({word for word in NAME.findall(without_comments(text, "python")) if not keyword.iskeyword(word)})
    chosen = set(chance.sample(names, len(names) // 10))
    return NAME.sub(lambda found: f"{found[0]}_other" if found[0] in chosen else found[0], text)


@pytest.mark.parametrize("change", [white_space, reordered, comments, header, renamed])
def test_copies_of_real_files_are_found(originals: list[str], change: Callable[[str, random.Random], str]) -> None:
    chance, index, languages = random.Random(4), DuplicateIndex(), ["python"] * len(originals)
    for text, signature in zip(originals, sign(originals, languages), strict=True):
        assert index.add(text, "python", signature) is None
    copies = [change(text, chance) for text in originals]
    found = [
        index.find(text, "python", signature) is not None
        for text, signature in zip(copies, sign(copies, languages), strict=True)
    ]
    assert len(found) > 80
    assert np.mean(found) >= 0.95


def test_a_licence_header_makes_no_two_files_alike() -> None:
    files = {
        "Clock": "package b;\npublic enum Clock {\n  UTC, LOCAL;\n  long now() { return System.currentTimeMillis(); }\n}\n",
        "Stack": "package a;\npublic interface Stack<T> {\n  void push(T item);\n  T pop();\n  boolean isEmpty();\n}\n",
        "Codec": "package c;\nimport java.util.zip.CRC32;\nclass Codec {\n  static long sum(byte[] data) {\n"
        "    CRC32 crc = new CRC32();\n    crc.update(data);\n    return crc.getValue();\n  }\n}\n",
    }
    assert verdicts({name: HEADER + text for name, text in files.items()}, "java") == list(files)
    assert verdicts({"one": HEADER + files["Codec"], "other": "// Somebody else's\n" + files["Codec"]}, "java") == ["one"]


def test_signs_and_numbers_and_case_tell_files_apart() -> None:
    files = {sign: f"int f(int a, int b)\n{{\n    return a {sign} b;\n}}\n" for sign in "+-/*"}
    assert verdicts(files, "c") == list(files)
    texts = ("value = compute(1, 2, 3)", "value = compute(1, 2, 4)", "Value = compute(1, 2, 3)")
    assert len({shingle_hashes(code_words(text, "python").numbers, 5).tobytes() for text in texts}) == 3


def test_texts_in_other_scripts_are_compared_by_their_words() -> None:
    first = "печать = вывод(имя, возраст, город)\nдругое = сумма(раз, два)\n"
    second = "число = длина(строка, начало, конец)\nсписок = выбор(один, три)\n"
    assert verdicts({"first": first, "second": second, "again": first.replace("\n", "\n\n")}) == ["first", "second"]


def test_languages_never_match_each_other() -> None:
    text, index = "int f(int a, int b)\n{\n    return a + b;\n}\n" * 9, DuplicateIndex()
    for language in ("c", "cpp", "java"):
        (signature,) = sign([text], [language])
        assert index.add(text, language, signature) is None
        assert index.find(text, language, signature) is DropReason.EXACT_DUPLICATE


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("python", "a = '# no' # yes\n", ["a", "=", "'", "#", "no", "'"]),
        ("c", 'a = "// no"; // yes\n/* b\n* c */ d', ["a", "=", '"', "/", "/", "no", '"', ";", "d"]),
        ("c", "a /* no end", ["a"]),
        ("sql", "select 1 -- one\n/* two */ from t", ["select", "1", "from", "t"]),
        ("php", "a # one\nb // two\nc", ["a", "b", "c"]),
        ("rust", "let a = 'b';", ["let", "a", "=", "'", "b", "'", ";"]),
        ("python", "# nothing else\n", ["#", "nothing", "else"]),
    ],
)
def test_words_are_those_of_the_code(language: str, text: str, words: list[str]) -> None:
    code = without_comments(text, language)
    found = code_words(text, language)
    code = code if code.strip() else text
    assert [code[start:end] for start, end in zip(found.starts, found.ends, strict=True)] == words


def test_words_are_those_of_an_expression_in_any_script_and_have_one_number_each() -> None:
    word, choice = re.compile(r"\w++|[^\w\s]"), random.Random(3)
    numbers: dict[str, int] = {}
    for alphabet in ("aB1_ \n+-'", "aBß_ \n\u2003+·", "й имя\t²½Ⅷ٣७.,", "名前 =\U0001d7d8\U0001f600x"):
        for _ in range(60):
            text = "".join(choice.choices(alphabet, k=choice.randrange(60)))
            found = find_words(text)
            assert [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)] == word.findall(text)
            for each, number in zip(word.findall(text), found.numbers.tolist(), strict=True):
                assert numbers.setdefault(each, number) == number
    assert len(set(numbers.values())) == len(numbers) > 400


def test_names_are_alike_and_numbers_are_where_only_the_structure_matters() -> None:
    words = ["if", "If", "first", "имя", "_x", "12", "1e5", "٣", "+", "(", "return"]
    kinds = find_words(" ".join(words)).kinds.tolist()
    assert (len(set(kinds[2:5])), len(set(kinds[5:8]))) == (1, 1)
    assert len(set(kinds)) == len(words) - 4


def test_the_rule_is_the_recipes() -> None:
    text = "\n".join(f"name{number} = compute{number}({number})" for number in range(60))
    other = text.replace("compute1", "make1").replace("compute2", "make2")
    files = {"one": text, "other": other}
    assert verdicts(files, rule=Duplicates(threshold=0.5)) == ["one"]
    assert len({len(sign([text], ["python"], Duplicates(permutations=count))[0]) for count in (64, 128, 256)}) == 3


def test_files_without_words_are_compared_too() -> None:
    assert verdicts({"empty": "", "blank": "\n", "signs": "+++", "others": "---"}) == ["empty", "signs", "others"]


def test_a_megabyte_of_escaped_quotes_is_read_once() -> None:
    """Looked at from each quote to the line's end, it would outlast the timeout of a test."""
    text = '"' + '\\"' * 500_000
    assert len(code_words(text, "python").starts) == 1 + 2 * 500_000
