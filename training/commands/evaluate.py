"""`phasemix evaluate`: how many tasks of the code benchmarks a model solves at its first attempt.

Always holds: answers are run in a sandbox alone; files, packages and results are checked before a model is loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.evaluation.answering import Writer
    from training.evaluation.figures import Figures
    from training.evaluation.results import Line
    from training.evaluation.tasks import Benchmark

Serve = Callable[[Path], AbstractContextManager[str]]  # a model's folder -> its server's address, while it is needed
KEPT = "answers"  # folder under the root
MOST_AT_ONCE = 1024  # each answer has a thread that waits for it


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix evaluate`."""
    from streamer.commands.options import add_json, root_address

    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="evaluate this folder of phasemix export, or this checkpoint or address"
    )
    parser.add_argument(
        "--benchmarks",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="read these released files, such as benchmarks/*.jsonl.gz",
    )
    parser.add_argument(
        "--engine",
        metavar="URL",
        help="have this OpenAI-compatible server of the model answer (default: transformers, here)",
    )
    parser.add_argument("--served-model", metavar="NAME", help="ask the engine for this model (default: its first)")
    parser.add_argument(
        "--concurrency", type=int, default=32, metavar="N", help="ask the engine for so many answers at once (default: 32)"
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=768, metavar="N", help="end an answer after so many tokens (default: 768)"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="take N tasks of each benchmark, always the same ones")
    parser.add_argument("--reference", action="store_true", help="check the reference solutions in place of answers")
    parser.add_argument("--empty", action="store_true", help="check empty answers")
    parser.add_argument(
        "--results", metavar="DIR", help="keep the results in this folder, and go on there (default: ROOT/answers/NAME)"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="compare two kept results task by task: folders, or names in answers"
    )
    parser.add_argument("--list", action="store_true", help="list the evaluations that are noted beside the root's runs")
    parser.add_argument(
        "--evalplus", default=".evalplus/bin/python", metavar="PYTHON", help="the Python that has evalplus and evoeval"
    )
    parser.add_argument(
        "--bigcodebench", default=".bigcodebench/bin/python", metavar="PYTHON", help="the Python that has bigcodebench"
    )
    parser.add_argument("--trust", metavar="SHA256", help="export a checkpoint that no record names, if this is its digest")
    parser.add_argument(
        "--accept-unsandboxed",
        action="store_true",
        help="where no sandbox can be made, run answers all the same: they can then read and delete your files",
    )
    parser.add_argument("--markdown", action="store_true", help="print a row of a Markdown table, as in the paper's Table 2")
    parser.add_argument(
        "--root",
        type=root_address,
        default=os.environ.get("PHASEMIX_ROOT") or None,
        metavar="ROOT",
        help="the catalog of the model's run, where results are kept and noted (default: PHASEMIX_ROOT)",
    )
    add_json(parser)
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace, serve: Serve | None = None) -> int:
    """Evaluates, compares or lists. `serve`: starts an engine that has a model. Raises: PhasemixError."""
    from streamer.commands.table import print_table
    from training.errors import EvaluationError

    if args.root is None and (args.list or not (args.results or args.compare)):
        raise EvaluationError("name the catalog with --root, or a folder for the results with --results")
    if args.list:
        from training.commands.noted import list_noted

        print_table(list_noted(args.root), args.json)
    elif args.compare:
        print_table(compare_kept(args), args.json)
    else:
        check_options(args, serve)
        with contextlib.ExitStack() as closing:
            measure(args, closing, serve)
    return 0


def check_options(args: argparse.Namespace, serve: Serve | None) -> None:
    """Raises: EvaluationError for options that do not fit together."""
    from training.errors import EvaluationError

    if sum((args.model is not None, args.reference, args.empty)) != 1:
        raise EvaluationError("name a MODEL, or give --reference, or --empty: one of the three")
    if (args.engine or serve) and args.model is None:
        raise EvaluationError("an engine needs the MODEL that it serves, for its tokenizer and its context")
    if args.engine == "":
        raise EvaluationError("--engine must be an address (got an empty one); leave it out to answer with transformers")
    if args.engine and serve:
        raise EvaluationError("--serve starts an engine, and --engine names one that runs: give one of them")
    if args.served_model and not args.engine:
        raise EvaluationError(f"--served-model {args.served_model} names a model of --engine, which is not given")
    if args.sample is not None and args.markdown:
        raise EvaluationError(
            f"--sample {args.sample} has no row in a table of whole benchmarks; leave out --markdown or --sample"
        )
    for name in ("concurrency", "max_new_tokens", "sample"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise EvaluationError(f"--{name.replace('_', '-')} must be at least 1 (got {value})")
    if args.concurrency > MOST_AT_ONCE:
        raise EvaluationError(f"--concurrency must be at most {MOST_AT_ONCE:,} (got {args.concurrency:,})")


def measure(args: argparse.Namespace, closing: contextlib.ExitStack, serve: Serve | None) -> None:
    """Evaluates on each benchmark, prints the figures, and notes them beside the run."""
    from streamer.commands.progress_line import ProgressLine
    from streamer.commands.table import print_json, print_table
    from streamer.wording import listed
    from training.commands.noted import note
    from training.evaluation.answering import TOO_LONG
    from training.evaluation.checking import Checker
    from training.evaluation.evaluation import digest_of, evaluate
    from training.evaluation.figures import figures_of, table_2, table_of
    from training.evaluation.results import Heading, Results
    from training.evaluation.tasks import BIGCODEBENCH

    benchmarks = [sampled(one, args.sample) for one in find_benchmarks(args.benchmarks)]
    checkers = {
        one.name: Checker(
            one,
            args.bigcodebench if one.kind == BIGCODEBENCH else args.evalplus,
            accept_unsandboxed=args.accept_unsandboxed,
        )
        for one in benchmarks
    }
    about: dict[str, Any] = {}
    if args.model is None:
        name = answers = "reference" if args.reference else "empty"
    else:
        folder = find_model(args, closing)
        about, answers = read_about(folder), digest_of(folder)
        name = f"{about['run']}-{about['step']:08d}" if about else f"{folder.resolve().name}-{answers[:8]}"
    kept = results_folder(args, name)
    writer: Writer | None = None
    writer_name = "transformers" if args.model else answers
    if args.engine and args.served_model is None:  # then the server says which model it has
        writer = load_writer(args, folder, closing, None)
    if args.engine or serve:
        writer_name = f"engine serving {writer.name if writer else args.served_model or folder.resolve().name}"
    headings = {
        one.name: Heading(
            benchmark=one.name,
            digest=one.digest,
            tasks=len(one.tasks),
            answers=answers,
            writer=writer_name,
            max_new_tokens=args.max_new_tokens if args.model else 0,
            checker=checkers[one.name].versions,
        )
        for one in benchmarks
    }
    files = [
        closing.enter_context(Results(kept / f"{one.name}.jsonl", headings[one.name], list(one.tasks))) for one in benchmarks
    ]
    unfinished = any(len(file.lines) < len(one.tasks) for file, one in zip(files, benchmarks, strict=True))
    if args.model and unfinished:
        writer = writer or load_writer(args, folder, closing, serve)
    progress = ProgressLine(sys.stderr)
    lines: dict[str, list[Line]] = {}
    for one, file in zip(benchmarks, files, strict=True):
        lines[one.name] = evaluate(
            one,
            file,
            checkers[one.name],
            writer,
            reference=args.reference,
            max_new_tokens=args.max_new_tokens,
            say=progress,
        )
    progress.end()
    figures = [figures_of(one.name, lines[one.name], has_base=one.has_base) for one in benchmarks]
    reference = {} if args.reference else reference_figures(kept.parent / "reference", benchmarks)
    rows = table_of(figures, reference)
    if args.json:
        print_json({"model": name, "weights": answers, **about, "results": str(kept), "benchmarks": rows})
    elif args.markdown:
        print("\n".join(table_2(name, figures)))
    else:
        print_table(rows, False)
    noted = (
        note(args.root, about, answers, writer_name, args.max_new_tokens, figures, headings) if about and args.root else ""
    )
    say(f"results are kept in {kept}{noted}")
    for one in benchmarks:
        here = lines[one.name]
        if failed := [line.task for line in here if line.end == TOO_LONG]:
            say(f"{one.name}: {len(failed)} prompts are longer than the context and count as failed: {listed(failed)}")
        if unscored := [line.task for line in here if line.nats is None and writer_name == "transformers"]:
            say(
                f"{one.name}: bits_per_byte leaves out {len(unscored)} tasks, whose solutions are longer than the context "
                f"or changed by the tokenizer: {listed(unscored)}"
            )
        if unchecked := [line.plus for line in here if not line.is_checked]:
            say(
                f"{one.name}: {len(unchecked)} tasks were not checked and do not count, until the same command can check "
                f"them: {listed(sorted(set(unchecked)))}"
            )
        if args.reference and (failed := [line.task for line in here if line.is_checked and not line.passed]):
            say(f"{one.name}: reference solutions that do not pass: {listed(failed)}")


def find_benchmarks(globs: list[str]) -> list[Benchmark]:
    """The files that are named, in the order of the globs. Raises: EvaluationError when one names no file."""
    from training.errors import EvaluationError
    from training.evaluation.tasks import load_benchmarks

    if not globs:
        raise EvaluationError("name the released files with --benchmarks, such as --benchmarks benchmarks/*.jsonl.gz")
    paths: dict[Path, None] = {}
    for one in globs:
        found = sorted(glob.glob(one))
        if not found:
            raise EvaluationError(f"--benchmarks {one} names no file; name the released JSON lines of a benchmark")
        paths |= dict.fromkeys(map(Path, found))
    return load_benchmarks(list(paths))


def sampled(benchmark: Benchmark, count: int | None) -> Benchmark:
    """The benchmark with `count` of its tasks, chosen by its name, in their order."""
    if count is None or count >= len(benchmark.tasks):
        return benchmark
    chosen = set(random.Random(benchmark.name).sample(list(benchmark.tasks), count))
    return benchmark._replace(tasks={name: task for name, task in benchmark.tasks.items() if name in chosen})


def find_model(args: argparse.Namespace, closing: contextlib.ExitStack) -> Path:
    """The exported folder that is meant; a checkpoint is exported into a temporary one."""
    from training.errors import EvaluationError

    path, is_remote = Path(args.model).expanduser(), "://" in args.model
    if (path / "config.json").is_file():
        return path
    if not path.exists() and not is_remote:
        raise EvaluationError(f"{path} does not exist; name a folder of phasemix export, or a checkpoint of a training")
    if args.root is None:
        raise EvaluationError(f"name the catalog that the run of checkpoint {args.model} is in with --root")
    from streamer.extras import require

    require("evaluate", "train")
    from training.checkpoints.export import export_checkpoint

    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="phasemix-"))) / "model"
    export_checkpoint(args.root, args.model if is_remote else path, folder, trusted=args.trust, say=say)
    return folder


def read_about(folder: Path) -> dict[str, Any]:
    """What an export says of itself; {} of a model from elsewhere. Raises: EvaluationError."""
    import msgspec

    from streamer.catalog.names import check_word
    from streamer.errors import BadNameError
    from training.checkpoints.export import ABOUT
    from training.errors import EvaluationError

    path = folder / ABOUT
    if not path.exists():
        return {}
    try:
        about: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        run = check_word(str(about["run"]), what="run")  # results are kept below it
        return {"run": run, "step": int(about["step"]), "checkpoint": str(about["sha256"])}
    except (msgspec.MsgspecError, OSError, KeyError, TypeError, ValueError, BadNameError) as error:
        raise EvaluationError(f"{path} does not name run, step and sha256 ({error}); export the checkpoint again") from error


def load_writer(args: argparse.Namespace, folder: Path, closing: contextlib.ExitStack, serve: Serve | None) -> Writer:
    """What answers. Raises: PhasemixError."""
    url = closing.enter_context(serve(folder)) if serve else args.engine
    if url:
        from training.evaluation.endpoint import EndpointModel

        return EndpointModel(url, folder, model=args.served_model, concurrency=args.concurrency)
    from streamer.extras import require

    require("evaluate", "train", otherwise=", or name a server that has the model with --engine")
    say("loading PyTorch and the model")
    from training.evaluation.transformers_model import TransformersModel

    return TransformersModel(folder)


def results_folder(args: argparse.Namespace, name: str) -> Path:
    """Raises: EvaluationError when the root is not a folder of this machine."""
    from training.errors import EvaluationError

    if args.results:
        return Path(args.results).expanduser()
    if "://" in args.root:
        raise EvaluationError(f"results cannot be kept in {args.root}; name a local folder with --results")
    return Path(args.root).expanduser() / KEPT / name


def reference_figures(folder: Path, benchmarks: list[Benchmark]) -> dict[str, Figures]:
    """What the reference solutions came to on the same tasks, where that is kept."""
    from training.errors import EvaluationError
    from training.evaluation.figures import figures_of
    from training.evaluation.results import read_folder

    try:
        kept = read_folder(folder)
    except EvaluationError:
        return {}
    found = {}
    for one in benchmarks:
        heading, lines = kept.get(one.name, (None, {}))
        if heading is not None and heading.digest == one.digest and one.tasks.keys() <= lines.keys():
            found[one.name] = figures_of(one.name, [lines[task] for task in one.tasks], has_base=one.has_base)
    return found


def compare_kept(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each benchmark that both results have. Raises: EvaluationError."""
    from streamer.wording import listed
    from training.errors import EvaluationError
    from training.evaluation.figures import compare
    from training.evaluation.results import read_folder

    folders = [Path(one) if Path(one).is_dir() else Path(args.root or ".") / KEPT / one for one in args.compare]
    first, second = map(read_folder, folders)
    rows = []
    for name in sorted(first.keys() & second.keys()):
        (heading, lines), (other, others) = first[name], second[name]
        if heading.digest != other.digest:
            raise EvaluationError(f"{name} is another file in {folders[1]} than in {folders[0]}; evaluate both on one")
        if differing := [
            what for what in ("writer", "max_new_tokens", "checker") if getattr(heading, what) != getattr(other, what)
        ]:
            made = (listed([f"{what} {getattr(one, what)}" for what in differing]) for one in (heading, other))
            say(f"{name}: the first was made with {next(made)}, the second with {next(made)}")
        rows.append(compare(name, lines, others))
    if not rows:
        raise EvaluationError(f"{folders[0]} and {folders[1]} have no benchmark in common; evaluate both on one")
    return rows


def say(line: str) -> None:
    """Tells a person who waits."""
    print(f"phasemix: {line}", file=sys.stderr, flush=True)
