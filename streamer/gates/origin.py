"""Gates over where a file lies: copies of other projects, and what a build wrote beside its source.

Source of the folders: what GitHub's Linguist calls vendored; the marks of compilers are their own first lines.
"""

import re
from collections.abc import Iterable
from typing import ClassVar

import xxhash

from streamer.documents.languages import without_comments
from streamer.documents.text import DropReason
from streamer.gates.subject import Gate, Refusal, Subject

VENDOR_FOLDERS = frozenset({
    "vendor", "vendors", "vendored", "_vendor", "_vendored", "_vendored_packages", "node_modules", "bower_components",
    "jspm_packages", "web_modules", "third_party", "third-party", "thirdparty", "3rdparty", "3rd_party", "3rd-party",
    "godeps", "pods", "carthage", "site-packages", "dist-packages", ".yarn", "extern", "externals", "pypackages",
})  # fmt: skip
VENDOR_NAME = re.compile(
    r"^(?:jquery(?:[-.](?:ui|slim)){0,2}(?:[-.]\d{1,4}){0,4}(?:\.min)?\.js|[\w.]{1,60}-\d{1,4}\.\d{1,4}(?:\.\d{1,4})?(?:\.min)?\.js"
    r"|ltmain\.sh|config\.(?:guess|sub)|configure|install-sh|depcomp|mkinstalldirs|gradlew|mvnw)$",
    re.IGNORECASE,
)

OUTPUT_FOLDERS = frozenset({"_cjs", "_esm", "_umd", "_types", "esm2015", "esm2020", "esm2022",
    "fesm2015", "fesm2020", "fesm2022", "esm5", "dist", "dist-cjs", "dist-es", "dist-esm", "dist-types", "dist-src",
    "dist-node", "dist-web", ".next", ".nuxt"})  # fmt: skip
OUTPUT_LANGUAGES = frozenset({"javascript", "typescript"})
OUTPUT_NAME = re.compile(r"\.min\.[cm]?js$|\.(?:bundle|chunk|umd|esm|cjs)\.(?:min\.)?js$", re.IGNORECASE)
SOURCE_MAP = re.compile(r"^\s*(?://|/\*)[#@]\s*sourceMappingURL=\S")
OUTPUT_MARK = re.compile(
    r'^(?:Object\.defineProperty\(exports, ["\']__esModule["\']|exports\.__esModule = (?:true|void 0))'
    r"|^(?:function _interopRequire(?:Default|Wildcard)\(|var _interopRequireDefault = require\()"
    r"|^var __(?:importDefault|importStar|createBinding|awaiter|generator|extends|rest|assign|decorate)"
    r" = (?:\(?this && this\.__\w+\)?|function)"
    r"|^var __(?:defProp|create|commonJS|getOwnPropNames|toESM) = |\bfunction __webpack_require__\(moduleId\)"
    r"|\bexports\.\w{1,80} = void 0;"
    r"|\(0, (?:_\w{1,80}|\w{1,80}_\d|import_\w{1,80})\.\w{1,80}\)\("
    r"|typeof exports === ['\"]object['\"] && typeof module !== ['\"]undefined['\"] \?",
    re.MULTILINE,
)
HEAD_CHARACTERS, TAIL_LINES = 4000, 5
COMPILED = re.compile(r"\.(?:d\.[cm]?ts|[cm]?jsx?)$")
SOURCE = re.compile(r"(?<!\.d)\.[cm]?tsx?$")
DECLARATIONS, SCRIPT = re.compile(r"\.d\.[cm]?ts$"), re.compile(r"\.[cm]?jsx?$")
BY_HAND = re.compile(  # a line at the left edge that the compiler does not write into declarations
    r"^(?!export (?:declare|type|interface|default|import|[={*])|declare (?!(?:module|namespace)\b)"
    r"|(?:import|interface|type)\b)[^\s})\]>|&]",
    re.MULTILINE,
)
DECLARES = re.compile(r"^(?:export )?declare ", re.MULTILINE)
FOUR_SPACES, TWO_SPACES = re.compile(r"^ {4}\S", re.MULTILINE), re.compile(r"^ {2}\S", re.MULTILINE)
OUT_FOLDERS = ("lib", "dist", "build", "out", "types", "es", "esm", "cjs", "_esm", "_cjs")


class Vendored(Gate, frozen=True):
    """A copy of another project's file, by its folder or name.

    Attributes:
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.VENDORED

    def judge(self, subject: Subject) -> Refusal | None:
        mark = vendored_mark(subject)
        return self.refuse(mark=mark) if mark else None


def vendored_mark(subject: Subject) -> str:
    """The folder or name that tells a copy of another project; empty when none does. A project's own file is none."""
    folder = next(
        (name for name in subject.folders if name in VENDOR_FOLDERS or name.startswith(("vendored-", "vendored_"))), ""
    )
    if folder or not VENDOR_NAME.match(subject.name):
        return folder
    stem = re.split(r"[-.]", subject.name.lower())[0]
    return "" if stem in subject.repository.lower() else subject.name


class BuildOutput(Gate, frozen=True):
    """What a compiler or bundler of JavaScript and TypeScript wrote: by folder, name, source map, or its first lines.

    Attributes:
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.BUILD_OUTPUT

    def judge(self, subject: Subject) -> Refusal | None:
        mark = output_mark(subject)
        return self.refuse(mark=mark) if mark else None


def output_mark(subject: Subject) -> str:
    """The folder, name or line that tells the output of a build; empty when none does."""
    if subject.language not in OUTPUT_LANGUAGES:
        return ""
    folder = next((folder for folder in subject.folders if folder in OUTPUT_FOLDERS), "")
    if folder or OUTPUT_NAME.search(subject.name):
        return folder or subject.name
    if any(SOURCE_MAP.match(line[:200]) for line in subject.lines[-TAIL_LINES:]):
        return "sourceMappingURL"
    found = OUTPUT_MARK.search(subject.text[:HEAD_CHARACTERS]) if subject.language == "javascript" else None
    return found[0].strip()[:120] if found else ""


class Sources:
    """The sources of TypeScript of all repositories, so that what was compiled from one is known beside it or in `lib/`.

    With the scripts of JavaScript, declarations are known that the compiler wrote beside one.
    """

    def __init__(self, paths: Iterable[tuple[str, str]]) -> None:
        self._stems, self._scripts = set[int](), set[int]()
        for repository, path in paths:
            if SOURCE.search(path):
                self._stems.add(stem_hash(repository, SOURCE.sub("", path)))
            elif SCRIPT.search(path):
                self._scripts.add(stem_hash(repository, SCRIPT.sub("", path)))

    def source_of(self, subject: Subject) -> str:
        """The stem of the source that a file was compiled from, or of the script that it declares; empty for neither."""
        if not COMPILED.search(subject.path):
            return ""
        stem = COMPILED.sub("", subject.path)
        is_beside = DECLARATIONS.search(subject.path) and stem_hash(subject.repository, stem) in self._scripts
        if is_beside and is_declared_by_compiler(subject.text):
            return stem
        words = stem.split("/")
        elsewhere = (
            "/".join([*words[:at], "src", *words[at + 1 :]]) for at, word in enumerate(words) if word in OUT_FOLDERS
        )
        return next((found for found in (stem, *elsewhere) if stem_hash(subject.repository, found) in self._stems), "")


def is_declared_by_compiler(text: str) -> bool:
    """Whether declarations look as a compiler writes them; interfaces alone only with its indent, as many are by hand."""
    if BY_HAND.search(without_comments(text)):
        return False
    return bool(DECLARES.search(text) or (FOUR_SPACES.search(text) and not TWO_SPACES.search(text)))


def stem_hash(repository: str, stem: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{repository}\0{stem}".encode("utf-8", "surrogatepass"))
