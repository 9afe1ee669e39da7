"""`phasemix completion bash|zsh|fish`: nouns, verbs, options, and the names that a root has.

Always holds: only the noun on the line is imported, and nothing that loads numpy, so that a shell has its answer in a
fraction of a second. What goes wrong while a shell asks is silence.
"""

import argparse
import contextlib
import importlib
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from streamer.store.store import Store

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
    """Gives every argument that is a name under the root, a language or a setting a completer."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, inner in action.choices.items():
                complete_names(inner, "" if verb == "create" else noun)  # no existing name is right for a new one
        kind = noun if action.dest == "name" else KINDS.get(action.dest)
        found = Names(kind) if kind is not None else COMPLETERS.get(action.dest)
        if found is not None and action.choices is None:
            action.completer = found  # type: ignore[attr-defined]


def phases(**_: Any) -> Iterable[str]:
    return PHASES


def policies(**_: Any) -> Iterable[str]:
    """The policies that are installed."""
    from mixer.steering.functions import installed

    return sorted(installed())


def languages(**_: Any) -> Iterable[str]:
    """The languages whose files a corpus can have."""
    from streamer.documents.languages import LANGUAGES

    return LANGUAGES


def recipe_keys(**_: Any) -> Iterable[str]:
    """The keys that `train --set` takes, with the sign behind them."""
    from training.phases.phase import Recipe

    return (f"{key}=" for key in dotted_keys(Recipe))


def dotted_keys(kind: Any, prefix: str = "") -> Iterable[str]:
    """`model.hidden_size` and its kin: the leaves of a struct of structs."""
    import msgspec

    for field in msgspec.structs.fields(kind):
        inner = next((one for one in (field.type, *get_args(field.type)) if is_struct(one)), None)
        if inner is None:
            yield prefix + field.encode_name
        else:
            yield from dotted_keys(inner, f"{prefix}{field.encode_name}.")


def is_struct(kind: Any) -> bool:
    import msgspec

    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def mixture_keys(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """`raw.share=` and its kin for the mixture on the line."""
    from mixer.mixture.grammar import COMPONENT

    labels = [label for label, _ in components(parsed_args)]
    return [f"{label}.{key}=" for label in labels for key in COMPONENT]


def unset_keys(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """The settings that the mixture on the line has."""
    return [f"{label}.{key}" for label, component in components(parsed_args) for key in component]


def share_names(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """The components of the mixture on the line, and the languages of the root's streams."""
    store = store_of(parsed_args)
    if store is None:
        return []
    from streamer.catalog.registry import read_names

    keys = dict.fromkeys(name.split("/")[1] for name in read_names(store, "streams"))
    return [f"{name}=" for name in dict.fromkeys([*(label for label, _ in components(parsed_args)), *keys])]


COMPLETERS: dict[str, Any] = {"phase": phases, "policy": policies, "language": languages, "set": recipe_keys,
    "assignments": mixture_keys, "unset": unset_keys, "shares": share_names}  # fmt: skip


def components(parsed_args: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """(label, settings) of each component of the mixture on the line; read from its log without the catalog."""
    store, reference = store_of(parsed_args), getattr(parsed_args, "mixture", None)
    if store is None or not reference:
        return []
    import msgspec

    from mixer.mixture.mixture import Mixture, document_of, label_of, split_reference
    from streamer.store.log import Log

    name, version = split_reference(reference)
    bodies = Log(store, f"mixtures/{name}").read()
    mixture = msgspec.convert(bodies[(version or len(bodies)) - 1]["mixture"], Mixture)
    return [(label_of(one), one) for one in document_of(mixture)["component"]]


def store_of(parsed_args: argparse.Namespace) -> "Store | None":
    """The root that the line or the environment names."""
    root = getattr(parsed_args, "root", None) or os.environ.get("PHASEMIX_ROOT")
    if not root:
        return None
    from streamer.store.roots import open_store

    return open_store(root)


class Names:
    """The names of one kind under the root that the line or the environment gives; behind `@` a mixture's versions."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, parsed_args: argparse.Namespace, prefix: str = "", **_: Any) -> Iterable[str]:
        store = store_of(parsed_args)
        if store is None or not self.kind:
            return []
        from streamer.catalog.registry import read_names
        from streamer.store.log import Log

        name, at, _version = prefix.partition("@")
        if self.kind == "mixtures" and at:
            return [f"{name}@{number + 1}" for number in range(len(Log(store, f"mixtures/{name}").read()))]
        return read_names(store, self.kind)
