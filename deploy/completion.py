"""`phasemix completion bash|zsh|fish`: nouns, verbs, options, and the names that a root has.

Always holds: only the noun on the line is imported; what goes wrong while a shell asks is silence.
"""

import argparse
import contextlib
import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

SHELLS = ("bash", "zsh", "fish")
KINDS = {
    "mixture": "mixtures", "after": "mixtures", "of_run": "runs", "parent": "runs", "run_name": "runs", "from_run": "runs",
    "stream": "streams",
}  # fmt: skip
PHASES = ("general", "continued", "enhanced")


def add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help='bash: eval "$(phasemix completion bash)"; fish: pipe it into source')
    parser.set_defaults(run=run_completion)


NOUNS = {"completion": add_completion}


def run_completion(options: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["phasemix"], shell=options.shell))
    return 0


def answer_shell(nouns: Mapping[str, tuple[str, str]]) -> None:
    """Answers a shell that asks for completions, and ends the process."""
    import argcomplete

    parser = argparse.ArgumentParser(prog="phasemix")
    choices = parser.add_subparsers()
    words = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0"))].split()
    for noun, (module, text) in nouns.items():
        added = choices.add_parser(noun, help=text)
        if len(words) > 1 and words[1] == noun:
            with contextlib.suppress(ImportError):
                importlib.import_module(module).NOUNS[noun](added)
            complete_names(added, noun)
    argcomplete.autocomplete(parser, always_complete_options=False)


def complete_names(parser: argparse.ArgumentParser, noun: str) -> None:
    """Gives every argument that is a name under the root a completer."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, inner in action.choices.items():
                complete_names(inner, "" if verb == "create" else noun)  # a new name is none that there is
        kind = noun if action.dest == "name" else KINDS.get(action.dest)
        if kind is not None and action.choices is None:
            action.completer = Names(kind)  # type: ignore[attr-defined]
        elif action.dest in ("phase", "policy"):
            action.completer = phases if action.dest == "phase" else policies  # type: ignore[attr-defined]


def phases(**_: Any) -> Iterable[str]:
    return PHASES


def policies(**_: Any) -> Iterable[str]:
    """The policies that are installed."""
    from mixer.steering.functions import installed

    return sorted(installed())


class Names:
    """The names of one kind under the root that the line or the environment gives; behind `@` a mixture's versions."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, parsed_args: argparse.Namespace, prefix: str = "", **_: Any) -> Iterable[str]:
        root = getattr(parsed_args, "root", None) or os.environ.get("PHASEMIX_ROOT")
        if not root or not self.kind:
            return []
        from streamer.catalog.catalog import Catalog

        name, at, _version = prefix.partition("@")
        if self.kind == "mixtures" and at:
            from mixer.mixture.versions import Versions

            return [version.mixture for version in Versions(root).versions(name)]
        return Catalog(root).names(self.kind)
