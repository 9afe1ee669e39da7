"""Errors that a user or the world can cause. Each message names the thing, the value, the limit and the remedy.

PhasemixError
|- StoreError        a root that cannot be used, an object that cannot be written or read
|  |- UnknownOutcomeError  a put of which cannot be learned whether it was done
|  |- LogError       an entry of a log that is missing, damaged, or another one
|  `- CacheFullError what readers of this node hold fills the cache's bound
|- BadNameError      a name that no stream, mixture or run may have
|- StreamError       a stream that is absent, or of another seq_len, dtype or tokenizer
|  `- AlreadyPublishedError  shards that the stream has already
|- PartError         a part that is not what its manifest says
|- CorpusError       a source, recipe or tokenizer that corpus work cannot use
|- TomlError         a TOML text that is malformed, or longer or deeper than is read
|- SandboxError      a program that cannot be run where it harms nothing
`- MissingExtraError an extra of the installation that a command or a name needs
"""


class PhasemixError(Exception):
    """The root of every error that ends a command with exit code 2 and one line."""


class StoreError(PhasemixError):
    """A root that cannot be used, or an object that cannot be written or read."""


class UnknownOutcomeError(StoreError):
    """A put of which cannot be learned now whether it was done: it may stand already, or yet come to stand.

    Whoever meets it removes nothing that the object may name, and looks before trying again.
    """


class LogError(StoreError):
    """An entry of a log that is missing, damaged or another one; some object must be restored."""


class CacheFullError(StoreError):
    """Shards that readers of this node map, hold ahead or are fetching fill the cache's bound."""


class BadNameError(PhasemixError):
    """A name that no stream, mixture or run may have."""


class StreamError(PhasemixError):
    """A stream that is absent, empty, or of another `seq_len`, dtype or tokenizer."""


class AlreadyPublishedError(StreamError):
    """Shards that the stream has already; `whole`: one part has all of them, as after a publication that is tried again."""

    def __init__(self, message: str, *, whole: bool) -> None:
        super().__init__(message)
        self.whole = whole


class PartError(PhasemixError):
    """A part whose files are not what its manifest says."""


class CorpusError(PhasemixError):
    """A source, recipe or tokenizer that corpus work cannot use."""


class TomlError(PhasemixError):
    """A TOML text that is malformed, or longer or deeper than is read.

    `line` counts from 1. `grammar` says whether the text is no TOML at all, rather than beyond a limit.
    """

    def __init__(self, line: int, reason: str, *, grammar: bool = False) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason, self.grammar = line, reason, grammar


class SandboxError(PhasemixError):
    """A sandbox that cannot be made on this machine, or a program that cannot be given to one."""


class MissingExtraError(PhasemixError, ImportError):
    """An extra of the installation that a command or a public name needs is not installed."""
