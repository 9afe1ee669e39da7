"""Answers as models give them: which file each holds, or by which reason it holds none."""

import pytest

from generators.gates.answers import File, find_file, top_names, without_reasoning
from generators.gates.gates import judge
from generators.gates.language import evidence
from generators.queue.job import Completion, Job, Reason, Verdict
from streamer.likeness.code_views import bare_code

F = "```"
PYTHON = "def sizes(boxes):\n    return [box.width * box.height for box in boxes if box.width]\n"
RUST = (
    "//! A ring buffer for readings.\n//!\n//! It never allocates.\n\n/// Adds two readings.\n///\n"
    f"/// {F}\n/// assert_eq!(add(1, 2), 3);\n/// {F}\n"
    "pub fn add(a: i32, b: i32) -> i32 {\n    let sum = a + b;\n    sum\n}\n"
)
MARKDOWN = (
    'def block(code, language="python", title=None):\n    if not code.strip():\n        return title or ""\n'
    f'    return title + f"{F}{{language}}\\n{{code}}\\n{F}"\n'
)
DOCSTRING = f'def twice(box):\n    """Doubles a box.\n\n{F}python\ntwice(box)\n{F}\n    """\n    return box.scale(2, 2)\n'
BARE = DOCSTRING.replace(f"{F}python", F)
ANSWERS = {
    "doc tests": ("rust", f"{F}rust\n{RUST}{F}", RUST),
    "a fence in a string": ("python", f"{F}python\n{MARKDOWN}{F}", MARKDOWN),
    "a fence with a language in a docstring": ("python", f"{F}python\n{DOCSTRING}{F}\nDone.", DOCSTRING),
    "bare fences in a docstring": ("python", f"{F}python\n{BARE}{F}\nDone.", BARE),
    "longer fences": ("python", f"````python\n{BARE}````", BARE),
    "tildes": ("python", f"~~~ python\n{BARE}~~~", BARE),
    "an indent": ("python", f"   {F}python\n{PYTHON}   {F}", PYTHON),
    "no closing line": ("python", f"Here:\n{F}python\n{PYTHON}", PYTHON),
    "no language": ("python", f"{F}\n{PYTHON}{F}", PYTHON),
    "another name of the language": ("cpp", f"{F}c++\nint a;\n{F}", "int a;\n"),
    "an ending for a name": ("csharp", f"{F}cs title=A.cs\nint a;\n{F}", "int a;\n"),
    "commands before it": ("python", f"{F}bash\npip install boxes\n{F}\n{F}python\n{PYTHON}{F}", PYTHON),
    "output after it": ("python", f"{F}python\n{PYTHON}{F}\nIt prints:\n{F}text\n[1, 2]\n{F}", PYTHON),
    "a revised draft": (
        "python", f"{F}python\n{PYTHON}{F}\nBetter:\n{F}python\nimport os\n\n{PYTHON}{F}", f"import os\n\n{PYTHON}",
    ),
    "two files": ("python", f"{F}python\n{PYTHON}{F}\n{F}python\ndef other():\n    pass\n{F}", Reason.SEVERAL_FILES),
    "an example of use": ("python", f"{F}python\n{PYTHON}{F}\n{F}python\nprint(sizes([]))\n{F}", Reason.SEVERAL_FILES),
    "many blocks": ("python", f"{F}python\n{PYTHON}{F}\n" * 40, Reason.SEVERAL_FILES),
    "another language": ("javascript", f"{F}python\n{PYTHON}{F}", Reason.WRONG_LANGUAGE),
    "an empty block": ("python", f"{F}python\n\n{F}", Reason.EMPTY),
    "nothing": ("python", "\n", Reason.EMPTY),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_the_file_of_an_answer_is_found_whole_or_refused_by_name(name: str) -> None:
    language, answer, expected = ANSWERS[name]
    found = find_file(answer, language)
    assert found.reason == expected if isinstance(found, Verdict) else found == File(str(expected), is_fenced=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<think>\n{F}python\ndraft = 1\n{F}\n</think>\nfile", "\nfile"),
        ("<think>short</think>file", "file"),
        (f"a draft {F}x{F}\n</think>\nfile", "\nfile"),
        ("<think>\nit does not end", None),
        (f"{F}python\ntext = '''\n</think>\n'''\n{F}", f"{F}python\ntext = '''\n</think>\n'''\n{F}"),
        ("no reasoning", "no reasoning"),
    ],
)
def test_reasoning_is_taken_off(text: str, expected: str | None) -> None:
    assert without_reasoning(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("python", "@cached\ndef a(): pass\nclass B: pass\nC = 1\nprint(C)", {"a", "B", "C"}),
        ("javascript", "import x from 'y';\nexport function a() {}\nconst b = 1;\nb();", {"a", "b"}),
        ("cpp", "#include <a>\nnamespace n { int f(int x) { return x; } }\nstruct S { int a; };", {"n", "S"}),
        ("go", "package m\nfunc A() {}\ntype B struct{}", {"A", "B"}),
        ("kotlin", "fun a() = 1\nclass B", {"a", "B"}),
        ("rust", "pub fn a() {}\nstruct B;\nuse c::d;", {"a", "B"}),
        ("ruby", "def a\nend\nclass B\nend\nputs 1", {"a", "B"}),
    ],
)
def test_names_at_the_top_are_those_that_a_text_defines(language: str, text: str, names: set[str]) -> None:
    assert top_names(text, language) == names


# What was accepted or lost before: the answer, and the file's beginning and end, or the reason why it is refused.
CASES = {
    "Rust with doc tests": ("rust", ANSWERS["doc tests"][1], RUST),
    "Python that writes Markdown": ("python", ANSWERS["a fence in a string"][1], MARKDOWN),
    "a draft in <think>": (
        "python", f"<think>\n{F}python\ndef draft(a):\n    return 1  # wrong\n{F}\n</think>\n{F}python\n{PYTHON}{F}", PYTHON,
    ),
    "an example of use": ("python", ANSWERS["an example of use"][1], Reason.SEVERAL_FILES),
    "a refusal, shell asked": ("shell", "I cannot help with that request", Reason.NO_FILE),
    "a refusal, Ruby asked": ("ruby", "I am sorry\n", Reason.NO_FILE),
    "comments alone": ("python", f"{F}python\n# TODO: write the file\n{F}", Reason.TRIVIAL),
    "Python for JavaScript": ("javascript", f"{F}python\nx = 1\ny = x\n{F}", Reason.WRONG_LANGUAGE),
    "the same without its name": ("javascript", f"{F}\n{PYTHON}{F}", Reason.WRONG_LANGUAGE),
    "text for PHP": ("php", f"{F}php\n{PYTHON}{F}", Reason.WRONG_LANGUAGE),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_answers_that_went_wrong_before_give_their_file_or_a_reason(name: str) -> None:
    language, text, expected = CASES[name]
    job = Job(language=language, seed_document="s", recipe="file/1", model="m", index=0, text="seed", purpose="order/0")
    verdict = judge(job, Completion(text=text, finish_reason="stop", tokens=1))
    assert (verdict.reason or verdict.text) == expected


def test_a_language_is_told_from_those_that_its_grammar_lets_through() -> None:
    texts = {
        "java": "package a;\n\nimport b.C;\n\npublic class D {\n    private int e;\n}\n",
        "kotlin": "package a\n\nimport b.C\n\nclass D(val e: Int) {\n    fun f() = e\n}\n",
        "scala": "package a\n\nimport b._\n\nclass D(val e: Int) extends F {\n  def g: Int = e\n}\n",
        "go": "package a\n\nimport \"b\"\n\nfunc d() int {\n\te := 1\n\treturn e\n}\n",
        "swift": "import B\n\nstruct D {\n    let e: Int\n    func f() -> Int { return e }\n}\n",
        "shell": "#!/bin/sh\nset -e\nfor e in *.txt; do\n  echo \"$e\"\ndone\n",
        "ruby": "require 'b'\n\nclass D\n  def e\n    @e.each { |f| puts f }\n  end\nend\n",
        "php": "<?php\nfunction d(int $e): int\n{\n    return $e;\n}\n",
        "sql": "CREATE TABLE d (e integer);\nINSERT INTO d VALUES (1);\nSELECT e FROM d;\n",
    }  # fmt: skip
    told = {
        (language, asked): not evidence(text, bare_code(text.encode(), asked), asked).is_wrong
        for language, text in texts.items()
        for asked in texts
    }
    assert {pair for pair, is_right in told.items() if is_right} == {(language, language) for language in texts}
