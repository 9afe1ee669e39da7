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
    "zsh": "shell", "shellscript": "shell", "shell script": "shell", "shell-script": "shell",
}  # fmt: skip

INTERPRETERS = {
    "python": "python", "pypy": "python", "node": "javascript", "nodejs": "javascript", "deno": "typescript",
    "php": "php", "ruby": "ruby", "bash": "shell", "sh": "shell", "dash": "shell", "zsh": "shell", "ksh": "shell",
    "scala": "scala", "kotlin": "kotlin", "dart": "dart", "swift": "swift",
}  # fmt: skip

FILE_NAMES = {"Rakefile": "ruby", "Gemfile": "ruby", ".bashrc": "shell", ".profile": "shell"}

# Each is linear in the text: a search begins at a line's start or at a word, and no repeat goes back.
LINE_COMMENT = re.compile(r"//[^\n]*+")
CPLUSPLUS = re.compile(r"\s*+#\s*+if(?:def\s++__cplusplus|\s++defined\s*+\(?\s*+__cplusplus)\b")
CONDITION = re.compile(r"\s*+#\s*+(if|else|elif|endif)")
CPP_MARKS = re.compile(
    r"^[^\S\n]*+(?:template\s*+<|(?:inline\s++)?namespace\s++\w|class\s++\w++[^;\n]*+$|class\s++\w++(?:\s++final)?\s*+[:{]"
    r"|enum\s++(?:class|struct)\s|using\s++(?:namespace\s|\w++\s*+=)|(?:public|private|protected)\s*+:"
    r"|virtual\s++[~\w]|explicit\s++\w++\s*+\(|(?:static[^\S\n]++)?(?:inline[^\S\n]++)?constexpr\s++\w)"
    r"|\bstd::|#\s*+include\s*+<[a-z_]++>|=\s*+(?:delete|default)\s*+;|\)\s*+(?:const\s*+)?(?:noexcept|override)\b|\bnullptr\b"
    r"|\bconst\s++\w++(?:::\w++)*+\s*+&|\boperator\s*+[-=+*/<>!&|^~\[(]|\b(?:static|reinterpret|const|dynamic)_cast\s*+<",
    re.MULTILINE,
)
OBJECTIVE_C_MARKS = re.compile(r"^[^\S\n]*+(?:@interface|@protocol|@end|@class|#\s*+import\s)", re.MULTILINE)
MARKUP = re.compile(r"\s*+(?:<\?xml\s|<!DOCTYPE\s|<TS[\s>])", re.IGNORECASE)
SQL_WORD = re.compile(
    r"\b(?:select|insert|update|delete|create|alter|drop|with|grant|revoke|begin|set|call|exec|execute|merge|truncate|declare"
    r"|comment|copy|load|use|show|explain|analyze|vacuum|pragma|values|commit|do|replace|attach|prepare|lock|rename)\b|\{[{%]",
    re.IGNORECASE,
)
MODE_LINE = re.compile(
    r"-\*-\s{0,4}(?:mode:\s{0,4})?([\w+#-]{1,30}?)\s{0,4}(?:;[^\n]{0,80})?-\*-"
    r"|\bvim?:[^\n]{0,60}?\b(?:ft|filetype)=(\w{1,30})",
    re.IGNORECASE,
)
HEAD_CHARACTERS = 400


def key_of(name: str) -> str | None:
    """The key of a language under any of its usual names ("C++", "Jupyter Notebook"), or None."""
    plain = name.strip().lower()
    return plain if plain in LANGUAGES else ALIASES.get(plain)


def detect(path: str, text: str) -> str | None:
    """The language of a file from its path and text, or None for one that is not among the 18.

    The ending decides, but where one ending is of several languages the text does: headers, Qt's translations in `.ts`,
    `.sql` and `.php` without a word of theirs. A file without an ending is what its `#!` line, mode line or name says.
    """
    name = path.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    if name in FILE_NAMES:
        return FILE_NAMES[name]
    if not dot or not stem:
        return interpreter_language(text) or mode_language(text)
    if ending.lower() == "h":
        return header_language(text)
    return checked(ENDINGS.get(ending.lower()), text)


def header_language(text: str) -> str | None:
    """Whether a header is of C or C++; None for Objective-C.

    What a header of C keeps for C++ alone does not count, unless it is all that there is.
    """
    if OBJECTIVE_C_MARKS.search(text):
        return None
    whole = without_comments(text)
    for_both = without_cpp_alone(whole)
    has_code = any(line.strip() and not line.lstrip().startswith("#") for line in for_both.splitlines())
    return "cpp" if CPP_MARKS.search(for_both if has_code else whole) else "c"


def without_comments(text: str) -> str:
    """A text of C or C++ without its comments; one that is not closed goes to the end."""
    kept, place = [], 0
    while (start := text.find("/*", place)) >= 0:
        kept.append(text[place:start])
        end = text.find("*/", start + 2)
        place = len(text) if end < 0 else end + 2
    return LINE_COMMENT.sub("", " ".join([*kept, text[place:]]))


def without_cpp_alone(text: str) -> str:
    """A header without what stands under `#ifdef __cplusplus`."""
    kept, depth = [], 0
    for line in text.splitlines():
        if not depth:
            depth = int(CPLUSPLUS.match(line) is not None)
            if not depth:
                kept.append(line)
        elif (found := CONDITION.match(line)) is not None:
            if found[1] == "if":
                depth += 1
            elif found[1] == "endif" or depth == 1:
                depth -= 1
    return "\n".join(kept)


def checked(language: str | None, text: str) -> str | None:
    """The language that an ending says, unless the text cannot be of it."""
    if language == "php":
        return language if "<?" in text else None
    if MARKUP.match(text) is not None:
        return None
    if language == "sql" and SQL_WORD.search(text) is None:
        return None
    return language


def mode_language(text: str) -> str | None:
    """The language that a line for Emacs or Vim names in the first lines, or None."""
    found = MODE_LINE.search(text[:HEAD_CHARACTERS])
    return key_of(found[1] or found[2]) if found else None


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
