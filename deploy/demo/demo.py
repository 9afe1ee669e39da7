"""`phasemix demo`: the whole path on this machine, small, by the commands that a user types.

Always holds: nothing runs on after it unless `--keep` was given, however it ends; each claim of the last table is counted
again from what lies under the root (`demo_report.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamer.errors import PhasemixError

LEAST_S = 150
FIXED_S = 130  # corpus, starts of four trainers and the report, measured on two cores
STEP_S = 0.6
STEPS = (20, 120)
GLOBAL_BATCH, SEQ_LEN = 16, 256
CHECKPOINT_STEPS = 4
SEGMENT_BATCHES = 4
FIRST_FILES, MORE_FILES = 16, 200
PATIENCE_S = 300.0
ASKED_EVERY_S = 1.0  # a command is a process: asking without a pause takes the time of what it waits for
CORPUS_MB = 30.0  # of code found; a fifth goes in filters

GENERAL = """
name = "general"
seq_len = {seq_len}

[[component]]
streams = "raw/*"
share = 1.0
"""
CONTINUED = """
name = "continued"
seq_len = {seq_len}

[[component]]
name = "best"
streams = "scored@demo/*"
best_tokens = {best_tokens}
share = 1.0
max_passes = 4
"""
ENHANCED = """
name = "enhanced"
seq_len = {seq_len}

[[component]]
streams = "synthetic/*"
share = 0.25
pin = {{ python = 0.5 }}
max_passes = 2
when_dry = "wait"

[[component]]
name = "scored"
streams = "scored@demo/*"
share = 0.75
curve = "top-heavy"
pin = {{ python = 0.5 }}
"""
ANNOTATOR = """
name = "demo"
embedder = "ngrams"            # a model of sentence-transformers takes minutes for as many files
files = 500

[[positives]]
files = {positives}
"""


class DemoError(PhasemixError):
    """A step of the demo that failed, or options that cannot be met."""


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix demo`."""
    from streamer.commands.options import add_json

    parser.add_argument(
        "--seconds", type=int, default=420, help=f"about how long it may take, at least {LEAST_S} (default 420)"
    )
    parser.add_argument(
        "--corpus", type=Path, metavar="PATH", help="source files to use (default: code found on this machine)"
    )
    parser.add_argument("--engine", metavar="URL", help="an OpenAI-compatible engine (default: the rule-based one)")
    parser.add_argument("--keep", action="store_true", help="leave the services running and the catalog where it is")
    parser.add_argument(
        "--root", metavar="ROOT", help="an absent or empty folder for the catalog (default: a temporary one)"
    )
    add_json(parser)
    parser.set_defaults(run=run_demo)


def run_demo(options: argparse.Namespace) -> int:
    """0 when everything was as promised, 1 when not. Raises: DemoError."""
    if options.seconds < LEAST_S:
        raise DemoError(f"--seconds {options.seconds} is too short; the least is {LEAST_S}")
    if options.corpus is not None and not options.corpus.exists():
        raise DemoError(f"--corpus {options.corpus} does not exist; name a folder, an archive or a Parquet file")
    root = Path(options.root).resolve() if options.root else Path(tempfile.mkdtemp(prefix="phasemix-demo-")) / "catalog"
    if root.exists() and any(root.iterdir()):
        raise DemoError(f"--root {root} is not empty; name an absent or empty folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    low, high = STEPS
    steps = int(min(high, max(low, (options.seconds - FIXED_S) / 3 / STEP_S)))
    demo = Demo(root, steps=steps, engine=options.engine, out=sys.stderr if options.json else sys.stdout)
    done = False
    try:
        found = demo.play(options.corpus)
        done = True
    finally:
        demo.end(keep=options.keep and done)
        if not options.keep and (done or not options.root):
            shutil.rmtree(root if options.root else root.parent, ignore_errors=True)
    demo.tell(found, kept=options.keep)
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
    return 1 if found["problems"] else 0


class Demo:
    """The demo's steps on one root. `steps`: of each phase."""

    def __init__(self, root: Path, *, steps: int, engine: str | None, out: Any) -> None:
        self.root, self.steps, self.engine, self.out = root, steps, engine, out
        self.began = time.monotonic()
        self.trainer: subprocess.Popen[bytes] | None = None
        self.dashboard = ""
        hub = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        self.environment = {**os.environ, **hub, "PHASEMIX_ROOT": str(root)}

    def play(self, corpus: Path | None) -> dict[str, Any]:
        """Everything, in order; what came of it."""
        self.say(f"the catalog is {self.root}")
        self.make_corpus(corpus)
        self.rank()
        self.start_services()
        self.title("phase 1, general: all code, each file once")
        self.apply(GENERAL)
        self.train("general", "general@1")
        self.title("phase 2, continued: the best tokens, four times")
        best_tokens = self.steps * GLOBAL_BATCH * SEQ_LEN // 4  # so that steps * G = 4 * N samples
        self.apply(CONTINUED, best_tokens=best_tokens)
        self.train("continued", "continued@1", "--from", "general")
        self.title("phase 3, enhanced: Python at 50 %, synthetic files while they are written")
        self.wait_for_files(FIRST_FILES)
        self.apply(ENHANCED)
        redone, after = self.enhance()
        self.title("what came of it, counted again from the catalog")
        return self.report(redone, after)

    # the steps

    def make_corpus(self, corpus: Path | None) -> None:
        self.title("corpus: read, filter, deduplicate, score, pack, publish")
        values = (
            f"seq_len={SEQ_LEN}", "heldout_share=0.1", "annotator_model=ngrams",
        )  # fmt: skip
        settings = [word for value in values for word in ("--set", value)]
        if corpus is not None:
            self.call("corpus", "ingest", str(corpus), *settings)
            return
        recipe = self.root.parent / "corpus.toml"
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text(found_recipe(max_mb=CORPUS_MB))
        self.call("corpus", "ingest", "--recipe", str(recipe), *settings)

    def rank(self) -> None:
        """What is good is learned from Python's standard library, and the corpus ranked by it."""
        from streamer.corpus.recipe import default_positives

        if not self.ask("streams", "list", "documents/python"):
            raise DemoError("the corpus has no Python documents; name a --corpus with at least Python source files")
        self.title("annotator: learns what is good, scores every file, ranks each language into 20 tiers")
        recipe = self.root.parent / "annotator.toml"
        recipe.write_text(ANNOTATOR.format(positives=json.dumps(default_positives())))
        self.call("annotator", "train", str(recipe))
        self.say("$ phasemix annotator rank demo")
        self.check(self.run("annotator", "rank", "demo", stdout=subprocess.DEVNULL), "annotator rank")
        self.call("streams", "list", "scored@demo/python/*")

    def start_services(self) -> None:
        self.title("services: Redis, mixer and dashboard, engine, planner, publisher, one worker")
        engine = ("--engine", self.engine) if self.engine else ()
        self.call("up", "--workers", "1", *engine)
        self.dashboard = next(str(row["address"]) for row in self.ask("status") if row["name"] == "mixer")
        self.say(f"dashboard: {self.dashboard}")
        half = FIRST_FILES // 2
        self.call("generators", "seed", "--from", "scored/*", "--files", str(half), "--language", "python")
        self.call("generators", "seed", "--from", "scored/*", "--files", str(FIRST_FILES - half))

    def apply(self, mixture: str, **values: object) -> None:
        text = mixture.format(seq_len=SEQ_LEN, **values)
        self.say("$ phasemix mixtures apply -")
        self.check(self.run("mixtures", "apply", "-", input=text.encode()), "mixtures apply")

    def trainer_words(self, phase: str, mixture: str) -> list[str]:
        vocabulary = self.vocabulary()
        warm_up = max(1, self.steps // 10)
        settings = {
            f"{phase}.steps": self.steps,
            f"{phase}.schedule.warm_up_steps": warm_up,
            "model.vocab_size": vocabulary,
            "checkpoints.every_steps": CHECKPOINT_STEPS,
        }
        sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        return ["train", phase, "--mixture", mixture, "--run", phase, *sets]

    def vocabulary(self) -> int:
        from streamer.catalog.catalog import Catalog

        catalog = Catalog(self.root)
        return int(catalog.load_tokenizer(catalog.streams("raw/*")[0].tokenizer).get_vocab_size())

    def train(self, phase: str, mixture: str, *words: str) -> None:
        self.call(*self.trainer_words(phase, mixture), *words)

    def wait_for_files(self, count: int) -> None:
        self.wait(
            lambda: self.ask("generators", "status")["accepted"] >= count, f"{count} synthetic files", every_s=ASKED_EVERY_S
        )

    def enhance(self) -> tuple[list[Any], list[Any]]:
        """Phase 3: more files ordered, the ratio edited, workers scaled, the trainer killed and resumed.

        Returns: the lines of the steps that had to be done again, as they were before the kill; all lines at the end.
        """
        create = ("--mixture", "enhanced@1", "--seed", "17", "--global-batch", str(GLOBAL_BATCH))
        self.call(
            "runs", "create", "enhanced", *create, "--num-steps", str(self.steps), "--segment-batches", str(SEGMENT_BATCHES)
        )
        words = self.trainer_words("enhanced", "enhanced")
        trainer = self.start(*words, "--from", "continued")
        self.wait_for_step(1)
        self.call("generators", "seed", "--from", "scored/*", "--files", str(MORE_FILES))
        self.call("generators", "scale", "3")
        self.call("mixtures", "edit", "enhanced", "--set", "synthetic.pin.python=0.4", "--set", "scored.pin.python=0.4")
        self.call("runs", "switch", "enhanced", "enhanced@2")
        self.wait_for_step(2 * CHECKPOINT_STEPS + 2)  # after the second checkpoint, not at one
        self.say(f"$ kill -9 {trainer.pid}")
        os.killpg(trainer.pid, signal.SIGKILL)
        trainer.wait()
        redone = self.steps_since_checkpoint()
        self.wait(lambda: self.ask("generators", "status")["workers_live"] == 3, "three workers", every_s=ASKED_EVERY_S)
        self.wait_for_files(FIRST_FILES + MORE_FILES // 4)
        self.call(*words, "--from", "continued", "--resume")
        return redone, self.steps_done()

    def report(self, redone: list[Any], after: list[Any]) -> dict[str, Any]:
        import msgspec

        from deploy.demo import report as demo_report
        from deploy.demo.models import measure_phases
        from streamer.catalog.catalog import Catalog

        catalog, names = Catalog(self.root), ["general", "continued", "enhanced"]
        measured, phases = measure_phases(self.root, names), []
        for phase, model in zip(names, measured, strict=True):
            result = json.loads((self.root / "checkpoints" / phase / "result.json").read_text())
            phases.append(
                demo_report.report_phase(
                    catalog,
                    phase,
                    phase,
                    result["steps"],
                    bits_per_byte=result["heldout_bits_per_byte"],
                    solutions_bits_per_byte=round(model.bits_per_byte, 4),
                )
            )
        synthetic = demo_report.report_synthetic(catalog, "enhanced", phases[2].steps)
        if synthetic.one_that_joined is not None:
            self.title("a file that was written while phase 3 trained: where it was drawn, and how it came to be")
            self.call("runs", "trace", "enhanced", "--document", synthetic.one_that_joined)
            self.call("generators", "show", synthetic.one_that_joined)
        order = demo_report.order_digests(catalog, "enhanced", phases[2].steps)
        replay_is_equal = demo_report.repeats(redone, after)
        order_is_equal = order == [line.origin for line in after]
        status = self.ask("generators", "status")
        return {
            "phases": demo_report.table_rows(phases),
            "sample": measured[-1].sample,
            **msgspec.to_builtins(synthetic),
            "steps_redone": len(redone),
            "replay_is_equal": replay_is_equal,
            "order_is_equal": order_is_equal,
            "files_accepted": status["accepted"],
            "files_rejected": status["rejected"],
            "engine": status["engine"],
            "workers": status["workers_live"],
            "dashboard": self.dashboard,
            "seconds": round(time.monotonic() - self.began, 1),
            "problems": demo_report.problems(
                phases, synthetic, order_is_equal=order_is_equal, replay_is_equal=replay_is_equal
            ),
        }

    def tell(self, found: dict[str, Any], *, kept: bool) -> None:
        """The last table and what stands beside it."""
        from streamer.commands.table import print_table

        if self.out is sys.stdout:
            print_table(found["phases"], as_json=False)
        self.say(
            f"kill -9 and resume: {found['steps_redone']} steps done again, samples and losses "
            f"{'equal bit for bit' if found['replay_is_equal'] else 'NOT equal'}; order of all steps "
            f"{'identical to' if found['order_is_equal'] else 'NOT'} that of an uninterrupted reading"
        )
        self.say(
            f"synthetic files ({found['engine']}): {found['files_accepted']} accepted, "
            f"{sum(found['files_rejected'].values())} rejected, {found['files_trained_on']} trained on, "
            f"{found['files_that_joined_under_training']} of them joined while training ran"
        )
        self.say(
            "what the model of phase 3 writes behind the first of eight small tasks, whose solutions the last column is of:"
        )
        print(textwrap.indent(found["sample"], "  | "), file=self.out, flush=True)
        for problem in found["problems"]:
            self.say(f"NOT AS PROMISED: {problem}")
        if kept:
            self.say(f"dashboard: {found['dashboard']}; the end: phasemix down --root {self.root}")
        else:
            self.say(f"dashboard was {found['dashboard']}; with --keep it and the catalog stay")

    def end(self, *, keep: bool) -> None:
        """Ends what runs; with `keep` only the trainer."""
        if self.trainer is not None and self.trainer.poll() is None:
            os.killpg(self.trainer.pid, signal.SIGKILL)
            self.trainer.wait()
        if not keep:
            self.run("down", stdout=subprocess.DEVNULL)

    # how

    def say(self, line: str) -> None:
        print(f"[{time.monotonic() - self.began:4.0f} s] {line}", file=self.out, flush=True)

    def title(self, line: str) -> None:
        print(f"\n[{time.monotonic() - self.began:4.0f} s] == {line}", file=self.out, flush=True)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "phasemix", *words]

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options.setdefault("stdout", self.out)
        return subprocess.run(self.argv(*words), env=self.environment, check=False, **options)

    def call(self, *words: str) -> None:
        """A command as a user types it, shown, with its output. Raises: DemoError when it fails."""
        self.say(f"$ phasemix {' '.join(words)}")
        self.check(self.run(*words), " ".join(words[:2]))

    def check(self, done: subprocess.CompletedProcess[bytes], command: str) -> None:
        if done.returncode:
            raise DemoError(f"phasemix {command} ended with {done.returncode}; its line above says why")

    def ask(self, *words: str) -> Any:
        """A command's JSON."""
        done = self.run(*words, "--json", stdout=subprocess.PIPE)
        self.check(done, " ".join(words[:2]))
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        self.say(f"$ phasemix {' '.join(words)} &")
        self.trainer = subprocess.Popen(self.argv(*words), env=self.environment, stdout=self.out, start_new_session=True)
        return self.trainer

    def steps_done(self) -> list[Any]:
        from training.measures.steps_log import read_steps

        return read_steps(self.root / "checkpoints" / "enhanced" / "steps.jsonl")

    def steps_since_checkpoint(self) -> list[Any]:
        from training.checkpoints import files

        newest = files.latest(self.root / "checkpoints" / "enhanced")
        return [line for line in self.steps_done() if newest is None or line.step >= newest[0]]

    def wait_for_step(self, step: int) -> None:
        def done() -> bool:
            if self.trainer is not None and self.trainer.poll() is not None:
                raise DemoError(
                    f"the trainer ended with {self.trainer.returncode} before step {step}; its last lines say why"
                )
            return len(self.steps_done()) > step

        self.wait(done, f"step {step} of the training")

    def wait(self, holds: Callable[[], bool], what: str, *, every_s: float = 0.2) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                raise DemoError(f"no {what} within {PATIENCE_S:g} s; see the logs that phasemix status names")
            time.sleep(every_s)


def found_recipe(*, max_mb: float) -> str:
    """A corpus recipe, as TOML, of code that is found on this machine."""
    import msgspec

    from streamer.corpus.sources.found_code import find_sources

    sources: list[dict[str, Any]] = msgspec.to_builtins(find_sources(max_mb=max_mb))
    return "\n".join(
        "[[sources]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in source.items() if value is not None)
        for source in sources
    )
