"""The command `phasemix`: a noun's name to the module that knows it. Imports a room only when its noun is used."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

NOUNS = {
    "quickstart": ("deploy.commands", "from a folder of your files to exact batches and a short training"),
    "demo": ("deploy.commands", "the whole path on this machine, small"),
    "up": ("deploy.commands", "start Redis, mixer, dashboard, engine and workers on this machine"),
    "down": ("deploy.commands", "stop what `up` started"),
    "status": ("deploy.commands", "what runs on this machine"),
    "corpus": ("streamer.commands.corpus", "read, filter, deduplicate, score and publish source files"),
    "tokenizer": ("streamer.commands.corpus", "train or show a tokenizer"),
    "annotator": ("streamer.commands.corpus", "train, evaluate and apply the quality annotator"),
    "streams": ("mixer.commands.streams", "create, publish, list, show, verify and export streams"),
    "mixtures": ("mixer.commands.mixtures", "list, show, apply, edit, diff and preview mixtures"),
    "runs": ("mixer.commands.runs", "create, list, show, switch and trace runs"),
    "generators": ("generators.commands", "order synthetic files; scale, watch and drain the workers"),
    "train": ("training.commands", "train a phase against a named mixture"),
    "completion": ("deploy.completion", "print what makes a shell complete commands and names"),
}

# The extras that a noun, or one of its verbs, cannot do without. Whatever is not named works with the base installation.
NEEDS: dict[str, tuple[str, ...]] = {
    "demo": ("corpus", "generators", "service", "train"),
    "quickstart": ("corpus",),
    "up": ("generators", "service"),
    "corpus ingest": ("corpus",),
    "tokenizer train": ("corpus",),
    "annotator": ("corpus",),
    "generators": ("generators",),
    "train": ("train",),
}


class OneLineParser(argparse.ArgumentParser):
    """A parser, and by its class all its subparsers, whose refusal is one line."""

    def error(self, message: str) -> NoReturn:
        from streamer.wording import one_line

        said = one_line(message.replace("\n", " ").replace("required: --root", "required: --root (or PHASEMIX_ROOT)"))
        self.exit(2, f"phasemix: {said}; {self.prog} --help says more\n")


def help_text() -> str:
    lines = (f"  {noun:<12}{text}" for noun, (_, text) in NOUNS.items())
    return "usage: phasemix NOUN ... [--root ROOT] [--json]\n\n" + "\n".join(lines) + "\n\nphasemix NOUN --help says more."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 2 for a user's mistake, said in one line."""
    try:
        return run(list(sys.argv[1:] if arguments is None else arguments))
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def run(words: list[str]) -> int:
    """Finds the noun's room and runs it."""
    if "_ARGCOMPLETE" in os.environ:
        from deploy.completion import answer_shell

        answer_shell(NOUNS)
    if not words or words[0] in ("-h", "--help"):
        print(help_text())
        return 0 if words else 2
    noun = words[0]
    if noun not in NOUNS or importlib.util.find_spec(NOUNS[noun][0]) is None:
        from streamer.wording import shown

        have = ", ".join(name for name, (module, _) in NOUNS.items() if importlib.util.find_spec(module))
        print(f"phasemix: no command {shown(noun)}; there are {have}", file=sys.stderr)
        return 2
    module = importlib.import_module(NOUNS[noun][0])
    parser = OneLineParser(prog=f"phasemix {noun}", description=NOUNS[noun][1])
    module.NOUNS[noun](parser)
    options = parser.parse_args(words[1:])
    from streamer.errors import PhasemixError
    from streamer.wording import one_line

    try:
        check_extras(words)
        if noun == "generators" and getattr(options, "redis", "") is None:  # then it is the one that `up` runs
            from deploy.local.local_machine import redis_url

            options.redis = redis_url(options.root)
        return int(options.run(options))
    except PhasemixError as error:
        print(f"phasemix: {one_line(error)}", file=sys.stderr)
        return 2


def check_extras(words: list[str]) -> None:
    """Raises: MissingExtraError, before the command does anything, when it needs an extra that is not installed."""
    from streamer.extras import require

    for command in (words[0], " ".join(words[:2])):
        require(command, *NEEDS.get(command, ()))


if __name__ == "__main__":
    sys.exit(main())
