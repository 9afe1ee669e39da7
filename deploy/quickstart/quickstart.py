"""`phasemix quickstart FOLDER`: one's own files to exact batches, by the steps that the commands take one at a time.

Always holds: what can be refused is refused before anything is written; each stage is the one that a command of its own
does, on the same root, so that a person can go on from any of them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from deploy.quickstart.errors import QuickstartError

NAME, ROOT = "quickstart", "phasemix-root"
LOOK, CORPUS, MIXTURE = "the folder", "the corpus: read, filter, deduplicate, score, pack, publish", "the mixture"
BATCH, TRAINING, SERVICES = "the run and its first batch", "the training", "the dashboard and its services"
SAMPLE_FILES = 80  # that the annotator reads, the longest part of a small corpus
MAX_MB = 32.0  # about a minute of work on two cores


def add_quickstart(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix quickstart`."""
    from streamer.commands.options import add_json, root_address

    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder of your source files")
    parser.add_argument(
        "--root",
        type=root_address,
        default=os.environ.get("PHASEMIX_ROOT") or ROOT,
        metavar="ROOT",
        help=f"make the catalog here, in a place that is absent or empty (default: PHASEMIX_ROOT, else ./{ROOT})",
    )
    parser.add_argument("--name", default=NAME, help=f"call the mixture and its run so (default: {NAME})")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="train so many steps (default: 20)")
    parser.add_argument(
        "--max-mb", type=float, default=MAX_MB, metavar="MB", help=f"read at most so many megabytes (default: {MAX_MB:g})"
    )
    parser.add_argument("--seq-len", type=int, metavar="N", help="pack samples of so many tokens (default: 256)")
    parser.add_argument("--no-train", action="store_true", help="end with the first batch")
    parser.add_argument("--no-up", action="store_true", help="do not start the dashboard and its services")
    add_json(parser)
    parser.set_defaults(run=run_quickstart)


def run_quickstart(options: argparse.Namespace) -> int:
    """Raises: PhasemixError; what the stages before it made stays, and can be gone on with."""
    check(options)
    stages = Stages(sys.stderr if options.json else sys.stdout)
    try:
        play(options, stages)
    except KeyboardInterrupt:
        print(f"\nphasemix: stopped in: {stages.now}; {what_stays(options, stages)}", file=sys.stderr)
        return 130
    return 0


def play(options: argparse.Namespace, stages: Stages) -> None:
    """All stages, in order, and what to type next."""
    from deploy.quickstart.choices import choose, describe
    from deploy.quickstart.folder import look
    from streamer.commands.table import print_json

    with stages.timed(LOOK):
        folder = look(options.folder.expanduser().resolve())
        choices = choose(folder, max_mb=options.max_mb, seq_len=options.seq_len)
        stages.say(*describe(folder, choices))
    found: dict[str, Any] = {"root": str(options.root), "seq_len": choices.seq_len}
    with stages.timed(CORPUS):
        report = ingest(options.root, folder.path, choices)
        found |= {"documents": report.documents, "held_out": report.heldout_documents, "streams": report.streams}
        stages.say(*told(report))
    with stages.timed(MIXTURE):
        found["mixture"] = apply(options, folder, choices)
        stages.say(f"{options.name}.toml, applied as {found['mixture']}", *shares(options, choices))
    with stages.timed(BATCH):
        stages.say(*first_batch(options))
    training = train_words(options, choices, report)
    if not options.no_train:
        with stages.timed(TRAINING):
            stages.say(f"$ phasemix train {shlex.join(training)}")
            result = train(training)
            found |= {"steps": result.steps, "final_loss": result.final_loss}
            stages.say(*trained(result))
    if not options.no_up:
        with stages.timed(SERVICES):
            found["dashboard"] = start(options.root)
            stages.say(f"dashboard: {found['dashboard']}")
    found["seconds"] = stages.seconds
    if options.json:
        print_json(found)
    else:
        print("\n".join(["", *stages.table(), "", *next_commands(options, folder, training)]))


def check(options: argparse.Namespace) -> None:
    """What can be refused before anything is written. Raises: PhasemixError."""
    from streamer.catalog.catalog import Catalog
    from streamer.catalog.names import check_word
    from streamer.corpus.parts.publication import filled_streams
    from streamer.extras import require
    from streamer.store.directory_store import folder_for

    services, training = () if options.no_up else ("generators", "service"), () if options.no_train else ("train",)
    less = "; with --no-up and --no-train it needs [corpus] alone" if services or training else ""
    require("quickstart", "corpus", *services, *training, otherwise=less)
    check_word(options.name, what="mixture")
    if not 1 <= options.steps <= 10_000:
        raise QuickstartError(f"--steps {options.steps} is not in 1..10000; a longer training is phasemix train")
    if options.seq_len is not None and not 16 <= options.seq_len <= 1 << 16:
        raise QuickstartError(f"--seq-len {options.seq_len} is not in 16..65536; leave it out for 256")
    if not 0.1 <= options.max_mb <= 1e6:
        raise QuickstartError(f"--max-mb {options.max_mb:g} is not in 0.1..1000000; give megabytes of source")
    if "://" not in options.root:
        folder_for(Path(options.root).expanduser().resolve())
    if not os.access(Path.cwd(), os.W_OK):
        raise QuickstartError(f"{Path.cwd()} may not be written by this user; work in a folder of your own")
    there = filled_streams(Catalog(options.root))
    if there:
        raise QuickstartError(
            f"root {options.root} has data already, such as {there[0]}; name an empty --root, or go on with what is there: "
            f"`phasemix --root {options.root}` says how"
        )
    if Path(f"{options.name}.toml").exists():
        raise QuickstartError(f"{options.name}.toml is there already; move it away, or give another --name")


class Stages:
    """Says what is done, and how long each stage took. `now`: the one that was begun last."""

    def __init__(self, out: Any) -> None:
        self._out, self.now, self.seconds = out, "", dict[str, float]()

    def say(self, *lines: str) -> None:
        for line in lines:
            print(f"  {line}", file=self._out, flush=True)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        self.now = stage
        print(f"\n{stage}", file=self._out, flush=True)
        began = time.monotonic()
        with redirect_stdout(self._out):
            yield
        self.seconds[stage] = round(time.monotonic() - began, 1)

    def table(self) -> list[str]:
        rows = [*self.seconds.items(), ("in all", sum(self.seconds.values()))]
        return [f"{seconds:>7.1f} s  {stage}" for stage, seconds in rows]


# the stages


def ingest(root: str, folder: Path, choices: Any) -> Any:
    """The corpus's report. Raises: CorpusError."""
    from deploy.quickstart.choices import SEED
    from streamer.catalog.catalog import Catalog
    from streamer.commands.corpus import INGEST
    from streamer.commands.progress_line import ProgressLine
    from streamer.corpus.pipeline import build
    from streamer.corpus.recipe import Recipe, Source
    from streamer.scoring.annotator import OFFLINE_MODEL

    recipe = Recipe(
        sources=(Source(path=str(folder), max_mb=choices.max_mb),),
        seq_len=choices.seq_len,
        seed=SEED,
        heldout_share=choices.heldout_share,
        annotator_model=OFFLINE_MODEL,
        sample_files=SAMPLE_FILES,
    )
    progress = ProgressLine(sys.stderr, stages=INGEST)
    catalog = Catalog(root)
    catalog.store.opened.probe()  # a full or read-only disk shows now, not after minutes of work
    try:
        return build(catalog, recipe, tasks=1, progress=progress)  # somebody may be at work in the folder
    finally:
        progress.end()


def told(report: Any) -> list[str]:
    """What became of the files."""
    dropped = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in report.dropped.items())
    from streamer.wording import listed

    samples = {name.split("/")[1]: count for name, count in report.streams.items() if name.startswith("raw/")}
    lines = [
        f"{report.documents:,} documents in {sum(samples.values()):,} samples of {listed(samples)}, "
        f"{report.heldout_documents:,} held out; tokenizer of {report.vocabulary:,} ids",
    ]
    return [*lines, f"dropped: {dropped}"] if dropped else lines


def apply(options: argparse.Namespace, folder: Any, choices: Any) -> str:
    """Writes the mixture file and makes the version. Raises: MixtureError, QuickstartError."""
    from deploy.quickstart.choices import mixture_text
    from mixer import Mixtures
    from streamer.commands.options import person

    text, path = mixture_text(options.name, folder, choices), Path(f"{options.name}.toml")
    try:
        path.write_text(text)
    except OSError as error:
        raise QuickstartError(
            f"{path.absolute()} cannot be written ({error.strerror}); work in a folder of your own"
        ) from error
    return Mixtures(options.root).apply(text, by=person(), name=str(path))


def shares(options: argparse.Namespace, choices: Any) -> list[str]:
    """Each language's share and passes over the training."""
    from deploy.quickstart.choices import GLOBAL_BATCH
    from mixer import Mixtures

    tokens = options.steps * GLOBAL_BATCH * choices.seq_len
    found = Mixtures(options.root).preview(options.name, tokens=tokens)
    lines = [f"{tokens:,} tokens of training would see, exactly:"]
    lines += [f"  {row.stream:<24}{row.share:>8.2%}  {row.passes:.3f} passes" for row in found.streams[:8]]
    return [*lines, f"  and {len(found.streams) - 8} more streams"] if found.streams[8:] else lines


def first_batch(options: argparse.Namespace) -> list[str]:
    """Makes the run and reads its first batch: which documents are in it. Raises: RunError."""
    from deploy.quickstart.choices import GLOBAL_BATCH, SEED
    from mixer import RunReader, Runs, Trace

    runs = Runs(options.root)
    runs.create(options.name, mixture=f"{options.name}@1", seed=SEED, global_batch=GLOBAL_BATCH, num_steps=options.steps)
    with RunReader(options.root, options.name) as reader:
        tokens = reader.read(0).tokens
    lines = [f"{tokens.shape[0]} samples of {tokens.shape[1]} tokens; of each its documents, such as:"]
    for row in Trace(options.root, options.name).batch(0)[:3]:
        paths = [span.path or str(span.document) for span in row.documents or []]
        more = f" and {len(paths) - 2} more" if paths[2:] else ""
        lines.append(f"  {row.stream} sample {row.row}: {', '.join(paths[:2])}{more}")
    return lines


def train_words(options: argparse.Namespace, choices: Any, report: Any) -> list[str]:
    """What `phasemix train` is told, for a model of about two million parameters."""
    settings = {
        "general.steps": options.steps,
        "general.schedule.warm_up_steps": max(1, options.steps // 10),
        "reports.every_steps": 1,  # so that the curve of the loss leads to single batches
        "batch.seq_len": choices.seq_len,
        "model.vocab_size": report.vocabulary,
        **({} if report.heldout_documents else {"heldout.streams": ""}),
    }
    words = ["general", "--mixture", f"{options.name}@1", "--run", options.name, "--root", str(options.root)]
    return [*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


def train(words: list[str]) -> Any:
    """The training's result. Raises: PhasemixError."""
    from training.commands.train import add_train, prepare

    parser = argparse.ArgumentParser()
    add_train(parser)
    job = prepare(parser.parse_args(words))
    from training.composer import trainer

    return trainer.train(job)


def trained(result: Any) -> list[str]:
    bits = result.heldout_bits_per_byte
    return [
        f"{result.steps} steps, {result.tokens:,} tokens, a model of {result.parameters:,} parameters: "
        f"loss {result.final_loss:.3f}" + ("" if bits is None else f", {bits:.3f} bits per byte of what is held out")
    ]


def start(root: str) -> str:
    """The dashboard's address. Raises: SupervisorError."""
    from deploy.local import local_machine

    local_machine.start(root, workers=0)
    return local_machine.dashboard_address(root)


def next_commands(options: argparse.Namespace, folder: Any, training: list[str]) -> list[str]:
    """What to type next, each with what it does."""
    from deploy.quickstart.choices import first_edit

    name = options.name
    other = [word.replace(f"{name}@1", f"{name}@2") for word in training]
    other[other.index("--run") + 1] = f"{name}-2"
    root = options.root if "://" in options.root else Path(options.root).resolve()
    commands = {
        f"export PHASEMIX_ROOT={root}": "",
        f"phasemix mixtures edit {name} --set {first_edit(folder)}": f"another ratio or limit: {name}@2",
        f"phasemix mixtures preview {name} --tokens 1M": "what it would give over a million tokens",
        f"phasemix train {shlex.join(other)}": "a training with it",
        f"phasemix runs show {name}": "target beside realised shares",
        f"phasemix runs trace {name} --batch 0 --text": "the documents of a batch",
    }
    if not options.no_up:
        commands["phasemix down"] = "stops the dashboard and its services"
    return [
        "Next:",
        *(line for command, does in commands.items() for line in ([f"  # {does}"] if does else []) + [f"  {command}"]),
    ]


def what_stays(options: argparse.Namespace, stages: Stages) -> str:
    """What an interrupt left, and how to go on."""
    if CORPUS not in stages.seconds:
        return "the same command begins again"
    return (
        f"the corpus is whole under {options.root}; see it with phasemix streams list --root {options.root}, and go on with "
        "phasemix mixtures apply and phasemix train (--resume, if it had begun)"
    )
