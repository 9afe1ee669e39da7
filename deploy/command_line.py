"""The command `phasemix`: finds the module that knows a noun, and runs it.

Always holds: a room is imported only when its noun is used; `--help` and `--version` import none. A user's mistake is said
in one line and ends the command with code 2.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

NOUNS = {
    "quickstart": ("deploy.commands", "build a corpus of a folder of your files, show its batches, train for a short time"),
    "demo": ("deploy.commands", "run the whole path on this machine, small"),
    "up": ("deploy.commands", "start Redis, mixer, dashboard, engine and workers on this machine"),
    "down": ("deploy.commands", "stop what `up` started"),
    "status": ("deploy.commands", "show what runs on this machine"),
    "doctor": ("deploy.commands", "look at root, disk, Redis, engine and versions, and say what to mend"),
    "corpus": ("streamer.commands.corpus", "read, filter, deduplicate, score and publish source files"),
    "tokenizer": ("streamer.commands.corpus", "train or show a tokenizer"),
    "annotator": ("generators.commands.judging", "train, evaluate and apply quality annotators; have a model judge files"),
    "streams": ("mixer.commands.streams", "create, publish, list, show, verify and export streams"),
    "mixtures": ("mixer.commands.mixtures", "list, show, apply, edit, diff and preview mixtures"),
    "runs": ("mixer.commands.runs", "create, list, show, switch and trace runs"),
    "generators": ("generators.commands.generators", "order synthetic files; scale, watch and drain the workers"),
    "train": ("training.commands.train", "train a phase against a named mixture"),
    "evaluate": ("deploy.evaluation", "measure a model on code benchmarks"),
    "export": ("training.commands.export", "write a checkpoint as a folder that transformers and vLLM load"),
    "completion": ("deploy.completion", "print what makes a shell complete commands and names"),
}

# The extras that a noun, or one of its verbs, cannot do without. `quickstart` asks itself, by its options. Whatever is not
# named works with the base installation.
NEEDS: dict[str, tuple[str, ...]] = {
    "demo": ("corpus", "generators", "service", "train"),
    "up": ("generators", "service"),
    "corpus ingest": ("corpus",),
    "tokenizer train": ("corpus",),
    "annotator": ("corpus",),
    "annotator judge": ("corpus", "generators"),
    "generators": ("generators",),
    "train": ("train",),
    "export": ("train",),
}

# What can begin with a root that does not exist. Every other command with a root refuses one, which is mistyped as a rule.
BEGINNERS = (
    "quickstart",
    "demo",
    "up",
    "down",
    "status",
    "doctor",
    "corpus ingest",
    "tokenizer train",
    "annotator",
    "streams create",
    "streams publish",
)


class OneLineParser(argparse.ArgumentParser):
    """A parser, and by its class all its subparsers, whose refusal is one line."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuses here what it does not know, so that the line names the help of the command and not of its noun."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from streamer.wording import did_you_mean

            near = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        from streamer.wording import one_line

        where, _, what = message.partition(": ")
        message = what if "|" in where else message  # the verbs, which `choose from` names again
        said = one_line(message.replace("\n", " ").replace("required: --root", "required: --root (or PHASEMIX_ROOT)"))
        self.exit(2, f"phasemix: {said}; {self.prog} --help says more\n")


def help_text() -> str:
    lines = (f"  {noun:<12}{text}" for noun, (_, text) in NOUNS.items())
    usage = "usage: phasemix [--version] NOUN ... [--root ROOT] [--json]"
    return f"{usage}\n\n" + "\n".join(lines) + "\n\n`phasemix NOUN --help` says more; `phasemix` alone says what to do next."


def version_text() -> str:
    """The version that is installed."""
    from importlib.metadata import version

    return f"phasemix {version('phasemix')}"


def run_overview(words: list[str]) -> int:
    """`phasemix` alone, or with a root: what the root holds and what to type next."""
    from deploy.guidance.overview import overview
    from streamer.errors import PhasemixError
    from streamer.wording import one_line

    parser = OneLineParser(prog="phasemix", add_help=False)
    parser.add_argument("--root", default=os.environ.get("PHASEMIX_ROOT") or None)
    try:
        print(overview(parser.parse_args(words).root))
    except PhasemixError as error:
        print(f"phasemix: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 2 for a user's mistake, said in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    named = 2 if words[:1] == ["--root"] else 1 if words and words[0].startswith("--root=") else 0
    words = [*words[named:], *words[:named]] if len(words) > named else words  # a root before the noun is as good as behind
    try:
        return run(words)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        from deploy.guidance.interrupted import what_is_kept

        print(f"phasemix: {what_is_kept(words[0] if words else '')}", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    """Finds the noun's room and runs it."""
    if "_ARGCOMPLETE" in os.environ:
        from deploy.completion import answer_shell

        answer_shell(NOUNS)
    if not words or words[0].startswith("--root"):
        return run_overview(words)
    if words[0] in ("-h", "--help", "-V", "--version"):
        print(help_text() if words[0] in ("-h", "--help") else version_text())
        return 0
    noun = words[0]
    if noun not in NOUNS or importlib.util.find_spec(NOUNS[noun][0]) is None:
        from streamer.wording import did_you_mean, shown

        have = ", ".join(name for name, (module, _) in NOUNS.items() if importlib.util.find_spec(module))
        print(f"phasemix: no command {shown(noun)}; there are {have}{did_you_mean(noun, NOUNS)}", file=sys.stderr)
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
        check_root(words, options)
        code = int(options.run(options))
    except PhasemixError as error:
        print(f"phasemix: {one_line(error)}", file=sys.stderr)
        return 2
    if code == 0:
        from deploy.guidance.next_steps import say_next_step

        say_next_step(noun, next((word for word in words[1:2] if not word.startswith("-")), ""), options)
    return code


def check_extras(words: list[str]) -> None:
    """Raises: MissingExtraError, before the command does anything, when it needs an extra that is not installed."""
    from streamer.extras import require

    for command in (words[0], " ".join(words[:2])):
        require(command, *NEEDS.get(command, ()))


def check_root(words: list[str], options: argparse.Namespace) -> None:
    """Raises: StoreError, before the command does anything, when it needs a root that exists. The parts of a pool, which a
    Redis serves, do not: `up` may start them before anything is written.
    """
    root = getattr(options, "root", None)
    begins = words[0] in BEGINNERS or " ".join(words[:2]) in BEGINNERS or getattr(options, "redis", None) is not None
    if root is not None and not begins:
        from streamer.catalog.registry import require_root

        require_root(root)


if __name__ == "__main__":
    sys.exit(main())
