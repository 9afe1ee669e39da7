"""The 18 languages of the corpus: their keys, the names others give them, and how a file's language is told.

Always holds: `detect` and `key_of` return one of `LANGUAGES` or None, and depend on their arguments alone.
"""

import re

LANGUAGES = (
    "python", "java", "cpp", "c", "javascript", "php", "csharp", "go", "typescript", "sql", "ruby", "rust",
    "jupyter-notebook", "scala", "kotlin", "shell", "dart", "swift",
)  # fmt: skip

ENDINGS = {
    "py": "python", "pyi": "python", "pyw": "python",
    "java": "java",
    "cpp": "cpp", "cc": "cpp", "cxx": "cpp", "hpp": "cpp", "hh": "cpp", "hxx": "cpp", "inl": "cpp", "ipp": "cpp",
    "tcc": "cpp", "cuh": "cpp", "cu": "cpp",
    "c": "c", "h": "c",
    "js": "javascript", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript",
    "php": "php", "phtml": "php", "inc.php": "php",
    "cs": "csharp",
    "go": "go",
    "ts": "typescript", "tsx": "typescript", "mts": "typescript", "cts": "typescript",
    "sql": "sql",
    "rb": "ruby", "rake": "ruby", "gemspec": "ruby",
    "rs": "rust",
    "ipynb": "jupyter-notebook",
    "scala": "scala", "sc": "scala",
    "kt": "kotlin", "kts": "kotlin",
    "sh": "shell", "bash": "shell", "zsh": "shell", "ksh": "shell",
    "dart": "dart",
    "swift": "swift",
}  # fmt: skip

ALIASES = {
    "py": "python", "python3": "python", "c++": "cpp", "cplusplus": "cpp", "js": "javascript", "c#": "csharp",
    "cs": "csharp", "c-sharp": "csharp", "golang": "go", "ts": "typescript", "rb": "ruby", "rs": "rust",
    "jupyter": "jupyter-notebook", "jupyter notebook": "jupyter-notebook", "jupyter_notebook": "jupyter-notebook",
    "notebook": "jupyter-notebook", "ipynb": "jupyter-notebook", "kt": "kotlin", "bash": "shell", "sh": "shell",
    "zsh": "shell", "shellscript": "shell", "shell script": "shell",
}  # fmt: skip

INTERPRETERS = {
    "python": "python", "pypy": "python", "node": "javascript", "nodejs": "javascript", "deno": "typescript",
    "php": "php", "ruby": "ruby", "bash": "shell", "sh": "shell", "dash": "shell", "zsh": "shell", "ksh": "shell",
    "scala": "scala", "kotlin": "kotlin", "dart": "dart", "swift": "swift",
}  # fmt: skip

FILE_NAMES = {"Rakefile": "ruby", "Gemfile": "ruby", ".bashrc": "shell", ".profile": "shell"}

# Each is linear in the text: a search begins at a line's start or at a word, and no repeat goes back.
CPP_MARKS = re.compile(
    r"^[^\S\n]*+(?:template\s*+<|namespace\s++\w|class\s++\w++[^;\n]*+$|using\s++namespace"
    r"|(?:public|private|protected)\s*+:)"
    r"|\bstd::|#\s*+include\s*+<(?:vector|string|memory|iostream|map|utility|type_traits|algorithm)>",
    re.MULTILINE,
)
OBJECTIVE_C_MARKS = re.compile(r"^[^\S\n]*+(?:@interface|@protocol|@end|@class|#\s*+import\s)", re.MULTILINE)


def key_of(name: str) -> str | None:
    """The key of a language under any of its usual names ("C++", "Jupyter Notebook"), or None."""
    plain = name.strip().lower()
    return plain if plain in LANGUAGES else ALIASES.get(plain)


def detect(path: str, text: str) -> str | None:
    """The language of a file from its path and text, or None for one that is not among the 18.

    The ending decides; a header is C++ when it looks so and nothing when it is Objective-C; a file without an ending
    is what its `#!` line or its name says.
    """
    name = path.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    if name in FILE_NAMES:
        return FILE_NAMES[name]
    if not dot or not stem:
        return interpreter_language(text)
    found = ENDINGS.get(ending.lower())
    if ending.lower() == "h":
        if OBJECTIVE_C_MARKS.search(text):
            return None
        return "cpp" if CPP_MARKS.search(text) else "c"
    return found


def depends_on_text(path: str) -> bool:
    """Whether the path alone does not decide what `detect` says."""
    name = path.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return name not in FILE_NAMES and (not dot or not stem or ending.lower() == "h")


def may_be_source(path: str) -> bool:
    """Whether a file of that path can have one of the 18 languages at all, so that it is worth reading."""
    name = path.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return not dot or not stem or ending.lower() in ENDINGS


def interpreter_language(text: str) -> str | None:
    """The language that a `#!` line names, or None."""
    line = text[:200].split("\n", 1)[0]
    if not line.startswith("#!"):
        return None
    words = [word.rsplit("/", 1)[-1] for word in line[2:].split()]
    if words and words[0] == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return INTERPRETERS.get(words[0].rstrip("0123456789.")) if words else None
