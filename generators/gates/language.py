"""Whether a text is of the language that was asked for, apart from whether it parses.

Always holds: only code tells, never a comment or a string; a language that is a part of another one (C of C++, JavaScript of
TypeScript, the script of a notebook of Python) passes as that one.

How: grammars are permissive, so that prose parses as shell and nearly everything as PHP. A file needs lines that its
language alone has among those that its grammar lets through, and more of them than of lines that it cannot have.
Measured on files of each language given as each other one: docs/benchmarks.md, "The gates of the generator pool".
"""

import re
from typing import NamedTuple

from mixer.pool.files import Values
from streamer.documents.languages import header_language
from streamer.gates.syntax import parses

MOST_BYTES = 1 << 14  # from the top, that are looked at
MOST_OF_LINE = 400  # bytes, so that no pattern takes more than linear time
LEAST_UNTYPED = 40  # own marks, from which on a file of TypeScript has a type somewhere
SURE = 2  # own lines that a text without a fence must have
MODIFIERS = (
    rb"(?:(?:public|private|protected|internal|abstract|final|static|sealed|partial|open|data|case|implicit|lazy"
    rb"|override) )*+"
)
TYPED = (
    rb"^[ \t]*+(?:export\s++)?(?:declare\b|interface \w|type \w++[^=\n]{0,80}= ?|(?:const )?enum \w|abstract class"
    rb"|namespace \w)"
    rb"|\b(?:private|public|protected|readonly) \w|\)\s?: [\w<>\[\]|{} .,]{1,60}(?:\{|=>)|\bimport type\b"
    rb"|\w[?!]?: ?(?:string|number|boolean|any|void|unknown|never|null|undefined|Promise|Array|Record|Partial"
    rb"|[A-Z]\w*+)\b(?!:)"
    rb"|\bas (?:const|any|string|unknown|[A-Z]\w)"
)
OF_SCRIPTS = (
    rb"\b(?:const|let|var) [\w{\[$]|\bfunction\b|=>|\brequire\(|^[ \t]*+(?:import|export)\b|\b(?:module|exports"
    rb"|document|window"
    rb"|console|this|Object|Array|Math|JSON)\.|===|\bclass \w|\bnew [A-Z]"
)
OF_C = (
    rb"^[ \t]*+#\s*+(?:include|define|undef|if|ifn?def|pragma)\b|->\w|^[ \t]*+(?:static|extern|inline|const|unsigned"
    rb"|struct|enum|union"
    rb"|typedef|void|int|char|long|short|float|double|size_t|bool|u?int\d{1,2}_t)\s++\*{0,3}\w"
    rb"|^\w[\w \t]*+[ *]\w++\([^()\n]*+[),]|\bsizeof\b"
)
NEITHER_C = (
    rb"^[ \t]*+(?:import|package|fn|func|fun|let|val|var|def|function|export|local|require|trait|object|<\?php"
    rb"|<\?=)\b|<\?php"
    rb"|^[ \t]*+(?:pub|impl|mod|use|namespace [\w\\.]++;|using [\w.]++;)\s|=>|\$\w++ ?[=;,)]|^[ \t]*+(?:public|private"
    rb"|protected) \w|^[ \t]*+const \w++ =|[!=]=="
    rb"|\bthis\.|\bexports\.|^[ \t]*+@\w|\bfunction\b"
)
OWN = {
    "python": rb"^[ \t]*+(?:async )?def \w++\(|^[ \t]*+class \w++\s?[(:]|^[ \t]*+(?:from [\w.]++ )?import [\w(*]"
    rb"|^[\w.\[\]]++(?: ?: ?[^=\n]{1,60})? [-+]?= "
    rb"|^[ \t]*+(?:if|for|while|with|try|elif|else|except)\b[^\n]*+(?<=:)$|^[ \t]*+print\(|^@\w",
    "java": rb"^[ \t]*+(?:package|import(?: static)?) [\w.*]++;|^[ \t]*+" + MODIFIERS + rb"\b(?:class|interface|enum"
    rb"|record|@interface) \w",
    "cpp": OF_C,
    "c": OF_C,
    "javascript": OF_SCRIPTS,
    "typescript": OF_SCRIPTS + b"|" + TYPED,
    "php": rb"\$\w|<\?=|^[ \t]*+(?:namespace|use) [\w\\]++|\bfunction\b|\bclass \w",
    "csharp": rb"^[ \t]*+(?:global )?using [\w.= ]++;|^[ \t]*+namespace [\w.]++|^[ \t]*+" + MODIFIERS
    + rb"\b(?:class|struct|interface|enum|record|delegate) \w|\{ get;|\bConsole\.",
    "go": rb"^package \w++\s*+[\1\n]|^func [(\w]|:= |^import [(\"\1]|^type \w++ (?:struct|interface|func)",
    "sql": rb"\b(?:create|alter|drop)\s++(?:or\s++replace\s++)?(?:(?:global|local|temporary|temp|unique|unlogged"
    rb"|materialized|virtual"
    rb"|definer\S*+|recursive|aggregate|event|foreign|if\s++not\s++exists)\s++){0,3}+(?:table|view|index"
    rb"|function|procedure|trigger|type|schema|database|extension|role|user"
    rb"|sequence|domain|operator|policy|cast|rule|server|tablespace|collation|package|login|synonym|column"
    rb"|constraint)\b"
    rb"|\binsert\s++(?:\w++\s++){0,2}into\b|\bselect\s++[\w*('\"@$:\1\[\\`.-]"
    rb"|\bupdate\s++[\w.\"\1\[\]`]++\s++set\b|\bdelete\s++from\b|\bgrant\s++\w|\bexplain\b|\bcopy\s++\w"
    rb"|^[ \t]*+(?:begin|commit|rollback|vacuum|analyze|truncate|pragma|set|reset|declare|call|exec|use"
    rb"|comment\s++on)\b[^\n(]*+;",
    "ruby": rb"^[ \t]*+(?:end|begin|ensure|rescue|else)\b\s*+$|\bdo(?: \|[^|\n]++\|)?$|^[ \t]*+(?:require|require_relative"
    rb"|include|attr_\w++|describe|it|puts|p)\b ?[:\1(A-Z]"
    rb"|^[ \t]*+(?:def (?:self\.)?\w++[?!]?(?:\([^\n]*+\))?$|module [A-Z]|class [A-Z][\w:]*+(?: <|$))|\bend\b\.?"
    rb"|@\w++ \|?\|?=|:\w++ ?=>|\.(?:each|map|new)\b|\bnil\b",
    "rust": rb"^[ \t]*+(?:pub(?:\([^)\n]*+\))? )?(?:const |async |unsafe )*+(?:fn|struct|enum|impl|trait|mod|use|type"
    rb"|static|extern|macro_rules!)\b|\blet (?:mut )?\w|#!?\["
    rb"|^[ \t]*+(?:pub )?const \w++:|\w!\s?[({\[]",
    "scala": rb"^[ \t]*+(?:@\w++\s++)*+" + MODIFIERS + rb"(?:object|trait|class|def|val|type|given|enum) \w"
    rb"|^[ \t]*+case [^\n:;]*+=>",
    "kotlin": rb"^[ \t]*+(?:@\w++(?:\([^)\n]*+\))?\s++)*+(?:(?:public|private|protected|internal|abstract|final"
    rb"|sealed|open"
    rb"|data|override|suspend|inline|lateinit|const|enum"
    rb"|annotation|companion|operator|infix|inner|value|actual|expect|external|tailrec|fun) )*(?:fun|val|var"
    rb"|class|object|interface|typealias)\b"
    rb"|^[ \t]*+(?:plugins|dependencies|repositories|android|kotlin|tasks\.\w++|include)\b",
    "shell": rb"^#! ?/|\$[\w{(@#*?!]|^[ \t]*+(?:fi|done|esac|then|do)\b|\b(?:then|do)$|^[ \t]*+(?:if|elif|while) (?:!? ?\["
    rb"|\w)[^\n]*+;?|^[ \t]*+(?:echo|export|set|cd|source|local|printf"
    rb"|exit|sudo|mkdir|rm|cp|mv|cat|exec|eval|trap|shift|read|unset|alias|apt-get|docker|git|make|curl|grep|sed"
    rb"|awk|python3?|npm|cargo|go)\s++[-\w./\1$\"'>~]|^\w++=\S|^[ \t]*+\w++ ?\(\) ?\{?$| && | \|\| |;;$| \| \w",
    "dart": rb"^[ \t]*+(?:import|export|part|library)\b[^;\n]*+;|^[ \t]*+(?:abstract |sealed |base |final |interface "
    rb"|mixin )*+(?:class|mixin|enum|extension|typedef) \w"
    rb"|^[ \t]*+(?:final|late|const|var|void|int|String|bool|double|List|Map|Future|Widget|dynamic)\b[^\n]*+[;{(=]"
    rb"|^\w[\w<>?, ]*+ (?:get )?\w++\(?[^\n]*+\{|=> |@override",
    "swift": rb"^[ \t]*+(?:@\w++(?:\([^)\n]*+\))?\s++)*+(?:(?:public|private|internal|fileprivate|open|final"
    rb"|static|override"
    rb"|mutating|lazy|weak|class|convenience|required|indirect|nonisolated"
    rb"|unowned|dynamic|prefix|postfix|infix|package|@\w++)(?:\(set\))? )*(?:func|let|var|struct|enum|class"
    rb"|protocol|extension|import|typealias|init|deinit|case|actor|guard|operator|associatedtype)\b",
}  # fmt: skip
SEMICOLONS = rb";[ \t\r]*+$"
CANNOT = {
    "python": SEMICOLONS + rb"|\) ?\{[ \t\r]*+$|^[ \t]*+\}[ \t\r]*+else|^[ \t]*+(?:end|fi|done|let|var|const|function"
    rb"|local|package|fn"
    rb"|func)\b(?! *[=(:.,])",
    "java": rb"^[ \t]*+#|^[ \t]*+(?:typedef|struct|extern|let|const|namespace|using|fun|def|func|fn|function)\b"
    rb"|^[ \t]*+var \w++;"
    rb"|===|\bfunction\b|->\w++;",
    "cpp": NEITHER_C,
    "c": NEITHER_C + rb"|^[ \t]*+(?:namespace|class|template)\b|::",
    "javascript": rb"^[ \t]*+#\s*+(?:include|define|if|ifn?def|endif)|^[ \t]*+(?:package|using|namespace|fn|func|def"
    rb"|val|fun|struct"
    rb"|typedef|pub|impl|unsigned|template|object|trait)\b [^=]"
    rb"|<\?(?:php|=)|\$\w++ ?(?:=[^>]|->)|\w::\w|\w->\w|^[ \t]*+(?:int|char|float|double|String|List<\w++>"
    rb"|size_t) \**+\w",
    "php": rb"(?!)",
    "csharp": rb"^[ \t]*+#\s*+(?:include|define \w++[ (]|ifdef|ifndef)|^[ \t]*+(?:import|package|typedef"
    rb"|extern \w++ \w++\(|fun"
    rb"|val|fn|func|def|function|export|impl|unsigned)\b|->\w++ ?=|\bthrows\b|=== |@Override|\bfinal\b"
    rb"|^[ \t]*+(?:struct \w++ \*|char \*|void \*)",
    "go": SEMICOLONS + rb"|^[ \t]*+(?:class|def|fn|let|public|private|function|using|#|@)\b",
    "sql": rb"[{][ \t\r]*+$|^[ \t]*+\}|^[ \t]*+(?:import|package|def|fn|func|fun|let|const|class|#\s*+include|#\s*+define"
    rb"|function \w++\(|public|private|use strict|<\?php|val|var)\b|=>|->\w++\(|==|&&|\$\(|^[ \t]*+(?:fi|done|elif"
    rb"|esac)\b",
    "ruby": SEMICOLONS + rb"|[{]$|^[ \t]*+(?:import|from|fi|done|esac|then|elif|fn|let|const|var|function|fun|func"
    rb"|val|package|use|pub"
    rb"|#include|echo|local|export)\b|:$"
    rb"|^[ \t]*+(?:create|insert|select|alter|drop|update|delete|set|commit|from|where)\b(?! ?[=:({.|])[^\n]*+",
    "rust": rb"^[ \t]*+(?:import|package|class|def|func|fun|function|var|public|private|using|namespace|typedef"
    rb"|#\s*+include|#\s*+define)\b",
    "scala": SEMICOLONS + rb"|^[ \t]*+#|^[ \t]*+(?:fn|func|fun|function|let|const|using|struct|typedef|namespace"
    rb"|public|pub|use|mod|static"
    rb"|void|int|char|end|fi|done|elif|elsif|export|unsigned|guard|init|select|create|insert)\b"
    rb"|^[ \t]*+(?:def|if|for|while|with|try|else|elif|except)\b[^\n]*+(?<=:)$|\bfun \w|\w<[A-Z]\w*+[>,?]"
    rb"|\w\?[.,) ]|\?:|\bself\b",
    "kotlin": SEMICOLONS + rb"|^[ \t]*+#|^[ \t]*+(?:fn|func|function|let|const (?!val)|using|struct|typedef|namespace"
    rb"|pub|use|mod|static|void"
    rb"|int|char|def|export|unsigned|extern|trait|extension|guard|export|select|create|insert|given|implicit"
    rb"|case|lazy)\b(?! ?[({.=])|\bdef \w|\bextends\b| => |\w\[[A-Z]\w*+[],\[]|\._\b|^[ \t]*+import [\w.]*+[{\1(]"
    rb"|:= |\bfunc \w|\bstruct \w|\bguard\b",
    "shell": rb";$(?<!;;$)(?<!\\;$)|^[ \t]*+(?:import|def|class|end|let \w++ =|const|var|fn|func|fun|val|package|public"
    rb"|private|using|namespace|use|require|require_relative|module|attr_\w++|it|describe|include"
    rb"|from \w++ import|typedef|static|struct|#include|void|int|elsif|begin|rescue"
    rb"|create|insert|select|alter|drop|update)\b|^[ \t]*+\w[\w.]*+ = |^[ \t]*+@\w|\bdo \|\w|\)\s?:$"
    rb"|^[ \t]*+\w++\.\w++[ (]|\w\(\w",
    "dart": rb"^[ \t]*+#\s*+(?:include|define)|^[ \t]*+(?:package|using|namespace|fn|func|fun|def|val|let|function|struct"
    rb"|typedef \w++ \w++;|public|private|const \w++ = require|export default|export const|export function)\b"
    rb"|^[ \t]*+(?:interface|export [{*]|let) |\bfrom \x01|\bfunction\b|\bconsole\.|[!=]==|->\w|\w::\w",
    "swift": SEMICOLONS + rb"|:= |^package |^[ \t]*+(?:package|using|namespace|fn|fun|def|val|function|const"
    rb"|typedef|object|trait|export"
    rb"|data class|pub|impl|#include|#define|end|fi|done)\b(?! ?[({.=:])",
}  # fmt: skip
CANNOT["typescript"] = CANNOT["javascript"] + rb"|\brequire\(|\bmodule\.exports\b|^[ \t]*+var \w"
NEVER = {
    "javascript": rb"\bfunction \w++(?:<[^>\n]*+>)?\([^()\n]*+\) ?: ?\w|\b(?:const|let) \w++: [\w{(\[]"
    rb"|^[ \t]*+(?:export )?(?:interface \w++|declare|abstract class)\b"
    rb"|[(,] ?\w++\??: [A-Za-z][\w.<>\[\]]*+(?: \| \w++)*+(?: = [^,()\n]++)?[,)]|\) ?: [\w<>\[\]]++ (?:\{|=>)",
    "kotlin": rb"^[ \t]*+import [\w.]*+(?:\{|\._)|\w extends [A-Z]|\bdef \w++[(:\[ ]|:= ",
    "scala": rb"\bfun (?:\w++\.)?\w++\(|\bfun <|\w\?\.|\w\?$|\?:|\bwhen \(|^[ \t]*+(?:internal|data|open|enum) class "
    rb"|^[ \t]*+(?:internal|const|open|lateinit) va[lr] |\b(?:Unit|\w++)\? ?[=,)]",
    "swift": rb"^package \w|:= ",
}  # fmt: skip


def compiled(patterns: dict[str, bytes]) -> dict[str, re.Pattern[bytes]]:
    """The patterns of each language, by lines; those of SQL in any case."""
    cases = {"sql": re.IGNORECASE}
    return {name: re.compile(pattern, re.MULTILINE | cases.get(name, 0)) for name, pattern in patterns.items()}


OWN_LINES, CANNOT_LINES, NEVER_LINES = compiled(OWN), compiled(CANNOT), compiled(NEVER)
TYPED_LINES = re.compile(TYPED, re.MULTILINE)
PHP_TAG = re.compile(r"<\?(?:php|=)", re.IGNORECASE)


class Evidence(NamedTuple):
    """How many lines and signs of a text only its language has, and how many it cannot have."""

    own: int
    foreign: int

    @property
    def is_wrong(self) -> bool:
        return self.own == 0 or 3 * self.foreign > 2 * self.own

    @property
    def is_sure(self) -> bool:
        return self.own >= SURE and not self.is_wrong

    @property
    def values(self) -> Values:
        return {"own_lines": self.own, "foreign_lines": self.foreign}


def evidence(text: str, code: bytes, language: str) -> Evidence:
    """What the first 16 KB of a text and of its bare code tell of its language."""
    if language == "php":
        return Evidence(SURE * bool(PHP_TAG.search(text)), 0)
    code = b"\n".join(line[:MOST_OF_LINE] for line in code[:MOST_BYTES].split(b"\n"))
    own, foreign = len(OWN_LINES[language].findall(code)), len(CANNOT_LINES[language].findall(code))
    never = NEVER_LINES.get(language)
    if never is not None and never.search(code) and (language != "javascript" or is_typed(text)):
        foreign += own + 1
    if language == "c" and header_language(text[:MOST_BYTES]) == "cpp":
        foreign += own + 1
    if language == "typescript" and own >= LEAST_UNTYPED and not TYPED_LINES.search(code):
        foreign += own + 1
    return Evidence(own, foreign)


def is_typed(text: str) -> bool:
    """Whether a text that looks like JavaScript with types is TypeScript, and not one for the checker Flow."""
    return "@flow" not in text and not parses(text, "javascript")
