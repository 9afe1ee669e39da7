"""`phasemix mixtures edit NAME`: a version in the user's editor, looked at before it is applied.

Always holds: nothing is applied before the preview was shown and the answer was yes; what was typed is never lost.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mixer.errors import MixtureError
from mixer.mixture.plan import ShareChange
from mixer.preview.preview import Preview
from mixer.preview.previews import Mixtures, check_note
from streamer.errors import PhasemixError

INVITATION = "# Change what you like, save and leave the editor; you will be asked before anything is applied."
MOST_BYTES = 4 << 20  # of a file: as many as the longest text can have
Show = Callable[[Preview, Sequence[ShareChange]], None]


def edit_version(
    mixtures: Mixtures, reference: str, show: Show, *, tokens: int | None, yes: bool, by: str | None, why: str | None
) -> str | None:
    """The version that was made, or None when nothing was. Raises: MixtureError that says where the text is kept."""
    before = mixtures.load(reference)[0]
    check_note("why", why)
    original = mixtures.text(before)
    path = Path(tempfile.mkdtemp(prefix="phasemix-mixture-")) / f"{before.partition('@')[0]}.toml"
    path.write_text(f"{INVITATION}\n{original}")
    try:
        return edit_file(mixtures, before, original, path, show, tokens=tokens, yes=yes, by=by, why=why)
    except KeyboardInterrupt:
        raise MixtureError(f"mixture {before}: interrupted; nothing was applied, your text is kept in {path}") from None
    finally:
        if not path.exists():
            path.parent.rmdir()


def edit_file(
    mixtures: Mixtures,
    before: str,
    original: str,
    path: Path,
    show: Show,
    *,
    tokens: int | None,
    yes: bool,
    by: str | None,
    why: str | None,
) -> str | None:
    """Edits the file until it is applied, left unchanged, or given up. Raises: MixtureError."""
    last, mistake = "", ""
    while True:
        open_editor(path)
        text = read_text(path)
        if mistake and text == last:
            raise MixtureError(f"{mistake}; nothing was applied, your text is kept in {path}")
        if text.partition("\n")[2].strip() == original.strip():
            path.unlink()
            return None
        try:
            preview = mixtures.preview_text(text, tokens=tokens, name=path.name)
            changes = mixtures.compare_text(before, text, name=path.name)
        except PhasemixError as error:
            mistake = str(error)
            first, _, rest = text.partition("\n")
            last = f"# mistake: {mistake}\n{rest if first.startswith('#') else text}"
            path.write_text(last)
            continue
        show(preview, changes)
        answer = "y" if yes else ask(f"Apply as a new version of {preview.mixture}? [y]es, [e]dit again, [n]o: ")
        if answer == "y":
            try:
                made = mixtures.apply(text, by=by, why=why, name=path.name)
            except PhasemixError as error:
                raise MixtureError(f"{error}; nothing was applied, your text is kept in {path}") from error
            path.unlink()
            return made
        if answer == "n":
            raise MixtureError(f"mixture {before}: nothing was applied, your text is kept in {path}; apply it from there")
        mistake = ""


def open_editor(path: Path) -> None:
    """Raises: MixtureError when there is no editor or it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.call([*shlex.split(editor), str(path)])
    except OSError as error:
        raise MixtureError(f"editor {editor!r} cannot be started: {error.strerror}; set VISUAL or EDITOR") from error
    except ValueError as error:
        raise MixtureError(f"editor {editor!r} cannot be read as a command: {error}; set VISUAL or EDITOR to one") from error
    if code:
        raise MixtureError(f"editor {editor!r} ended with code {code}; nothing was applied, the text is kept in {path}")


def ask(question: str) -> str:
    """`y`, `e` or `n`; the end of input means no."""
    while True:
        print(question, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer or answer.strip().lower()[:1] in ("y", "e", "n"):
            return answer.strip().lower()[:1] or "n"


def read_text(path: Path | str) -> str:
    """A mixture file's text. Raises: MixtureError that names it and what is wrong."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise MixtureError(f"mixture file {path} cannot be read: {error.strerror}; name a TOML file") from error
    if len(data) > MOST_BYTES:
        raise MixtureError(f"{path}: the file has more than {MOST_BYTES:,} bytes, which no mixture needs; shorten it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MixtureError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8") from error
