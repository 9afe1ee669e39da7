"""The one file that builds a Composer Trainer, with a phase's model, loader, schedule and checkpoints.

Always holds:
- step s is taken at the schedule's rate for s, with the s-th global batch that the run hands out, before and after any
  crash. That is batch s except for those skipped, so everything that counts steps here counts trained ones;
- a checkpoint holds model, optimizer, random state, counts and position together, and appears whole (checkpoints/files.py);
- what a result says of a model was measured on that very model.

How: Composer counts one endless epoch, in which `sample_in_epoch` is the position. It restores no random state inside an
epoch when the dataset resumes itself, so `callbacks.Restore` does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from composer import Callback, State, Trainer
from composer.core import DataSpec
from composer.utils import dist, get_device
from composer.utils.parallelism import FSDP2Config

from streamer.errors import PhasemixError
from training.checkpoints import files
from training.checkpoints.weights import check_weights, safely
from training.composer.callbacks import ReportLosses, Restore, Save, Watch
from training.composer.interrupts import StopAtInterrupt
from training.composer.language_model import Clipping, LanguageModel, whole
from training.composer.loggers import make_loggers, refusals
from training.composer.model import build_model, to_model_dtype, token_losses
from training.evaluation.heldout import Totals, measure, merge
from training.loading.loader import MixedLoader
from training.measures.shares import Shares, StreamShare
from training.measures.steps_log import read_steps
from training.phases.job import Job
from training.phases.phase import Phase, Recipe


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a training came to; `result.json`.

    `ended`: why the run stopped before the horizon, if it did; `not_evaluated`: why there are no held-out figures, if the
    held-out streams could not be evaluated; `final_loss` in nats a token, of the last step that the model was trained for.
    """

    phase: str
    run: str
    mixture: str
    steps: int
    tokens: int
    parameters: int
    final_loss: float | None
    heldout_bits_per_byte: float | None
    heldout: dict[str, dict[str, float | int | None]]
    streams: list[StreamShare]
    ended: str | None
    not_evaluated: str | None
    wall_s: float


class PhaseSchedule:
    """A phase's schedule as a Composer scheduler.

    Composer asks once when it starts, for the first step, then at the end of each step, before it moves its clock, for the
    next one.
    """

    def __init__(self, phase: Phase, num_steps: int) -> None:
        self._schedule, self._num_steps, self._started = phase.schedule, num_steps, False

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        step = int(state.timestamp.batch) + (1 if self._started else 0)
        self._started = True
        return self._schedule.multiplier(step, self._num_steps)


def train(job: Job) -> Result | None:
    """Trains a phase to its horizon or the run's end, evaluates it and writes `result.json`. Returns None on ranks above 0.

    Raises: PhasemixError for what the run, the catalog or a checkpoint refuses; CheckpointError when nothing more can be
    written to the folder; KeyboardInterrupt where it was interrupted, behind a step that is saved.
    """
    folder = Path(job.save_folder)
    try:
        return train_in(folder, job)
    except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
        refused = files.find_refusal(folder, error)
        if refused is None:
            raise
        with contextlib.suppress(OSError):
            files.remove_unfinished(folder)
        raise files.unwritable(folder, refused) from error


def say(text: str) -> None:
    """Tells a person who waits what is being done."""
    if dist.get_global_rank() == 0:
        print(f"phasemix: {text}", file=sys.stderr, flush=True)


def train_in(folder: Path, job: Job) -> Result | None:
    """As `train`, but a disk that refuses a write still raises what it raised."""
    began = time.monotonic()
    recipe = job.recipe
    device = get_device(recipe.numerics.device)
    if "GROUP_RANK" in os.environ:  # so torchrun calls what Composer looks for when it loads a checkpoint
        os.environ.setdefault("NODE_RANK", os.environ["GROUP_RANK"])
    dist.initialize_dist(device)
    if dist.get_global_rank() == 0:
        files.remove_unfinished(folder)
        take_over_logs(folder, job)
    say(f"opening run {job.run}")
    loader = MixedLoader(
        job.root,
        job.run,
        rank=dist.get_global_rank(),
        world_size=dist.get_world_size(),
        num_workers=recipe.batch.loader_workers,
        wait_s=job.wait_s,
        dtype=None,
        labels=False,
        with_origin=True,
        service=job.service,
    )
    say("building the model and the trainer")
    model = make_model(recipe)
    shares = Shares(job.root, job.run, folder / "shares.jsonl")
    save = Save(folder, job)
    watch, restore = Watch(job, loader, shares, save), Restore(recipe.phase(job.phase), job.num_steps)
    report = ReportLosses(job, model, loader)
    stop = StopAtInterrupt(say)
    trainer = build_trainer(job, model, loader, [restore, stop, report, watch, save])
    restore.trainer = trainer
    if job.resume_step < job.num_steps:
        say(f"training from step {job.resume_step:,} to step {job.num_steps:,}")
        trainer.fit()
    else:
        watch.say(
            f"run {job.run} is trained to step {job.resume_step} already, the horizon is {job.num_steps}: evaluating it"
        )
    if stop.stopped:
        trainer.close()
        raise KeyboardInterrupt
    heldout, not_evaluated = evaluate(job, trainer.state)
    if not_evaluated is not None:
        watch.say(f"the held-out streams were not evaluated: {not_evaluated}")
    result = summarise(job, trainer.state, watch, heldout, not_evaluated, wall_s=time.monotonic() - began)
    if dist.get_global_rank() == 0:
        aside = folder / ".result.json"
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
        aside.replace(folder / "result.json")
    trainer.close()
    return result if dist.get_global_rank() == 0 else None


def make_model(recipe: Recipe) -> LanguageModel:
    """A new model of the recipe, its weights drawn from the recipe's seed."""
    model = build_model(recipe.model, seq_len=recipe.batch.seq_len, seed=recipe.batch.seed)
    if recipe.numerics.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    return LanguageModel(model)


def take_over_logs(folder: Path, job: Job) -> None:
    """A fork that begins with a checkpoint of its parent begins with the parent's lines too; later ones are cut off."""
    source = Path(job.resume).parent if job.resume is not None else folder
    for name in ("steps.jsonl", "shares.jsonl"):
        if source != folder and (source / name).exists():
            aside = folder / f".{name}"
            shutil.copyfile(source / name, aside)
            aside.replace(folder / name)


def build_trainer(job: Job, model: LanguageModel, loader: MixedLoader, callbacks: list[Callback]) -> Trainer:
    """The Trainer, at the position of the checkpoint that is resumed."""
    recipe, phase = job.recipe, job.recipe.phase(job.phase)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=phase.schedule.peak_learning_rate,
        betas=(recipe.optimizer.beta1, recipe.optimizer.beta2),
        eps=recipe.optimizer.epsilon,
        weight_decay=recipe.optimizer.weight_decay,
    )
    rows, checkpoint = loader.dataset.global_batch // dist.get_world_size(), job.resume or job.weights
    if checkpoint is not None:
        check_weights(Path(checkpoint), model)
    with safely(), refusals():
        return Trainer(
            model=model,
            train_dataloader=DataSpec(loader, microbatch_transforms=to_model_dtype),
            max_duration=f"{job.num_steps}ba",
            optimizers=optimizer,
            schedulers=PhaseSchedule(phase, job.num_steps),
            step_schedulers_every_batch=True,
            algorithms=[Clipping(recipe.optimizer.clip_norm)],
            callbacks=callbacks,
            loggers=make_loggers(job),
            device=recipe.numerics.device,
            precision=recipe.numerics.precision,
            deterministic_mode=recipe.numerics.deterministic,
            parallelism_config={"fsdp": FSDP2Config(state_dict_type="full")} if recipe.numerics.sharded else None,
            device_train_microbatch_size=min(recipe.batch.microbatch, rows),
            seed=recipe.batch.seed,
            run_name=job.run,
            load_path=checkpoint,
            load_weights_only=job.resume is None,
            load_progress_bar=False,
            progress_bar=False,
            dist_timeout=max(300.0, job.wait_s + 60.0),
        )


def evaluate(job: Job, state: State) -> tuple[dict[str, Totals], str | None]:
    """Held-out sums by stream, over all ranks; or none, and why. A model is not lost to streams that cannot be read."""
    model = state.device.module_to_device(whole(state.model, lambda: make_model(job.recipe))).eval()

    def score(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        ids = state.device.tensor_to_device(torch.from_numpy(rows)).to(torch.int64)
        with (
            torch.inference_mode(),
            torch.autocast(ids.device.type, torch.bfloat16, enabled=state.precision.value == "amp_bf16"),
        ):
            losses = token_losses(model({"input_ids": ids}), ids)
        return losses.double().cpu().numpy()

    rank, world_size = dist.get_global_rank(), dist.get_world_size()
    mine: dict[str, Totals] | str
    try:
        mine = measure(job.root, job.recipe.heldout, score, tokenizer=job.tokenizer, rank=rank, world_size=world_size)
    except PhasemixError as error:
        mine = str(error)
    found: list[dict[str, Totals] | str] = dist.all_gather_object(mine)
    faults = [one for one in found if isinstance(one, str)]
    return ({}, faults[0]) if faults else (merge([one for one in found if not isinstance(one, str)]), None)


def summarise(
    job: Job, state: State, watch: Watch, heldout: dict[str, Totals], not_evaluated: str | None, *, wall_s: float
) -> Result:
    """What came of it, from this rank's view."""
    steps = int(state.timestamp.batch)
    streams = watch.shares.table(steps)
    losses = {line.step: line.loss for line in read_steps(Path(job.save_folder) / "steps.jsonl")}
    return Result(
        phase=job.phase,
        run=job.run,
        mixture=job.mixture,
        steps=steps,
        tokens=sum(row.trained_samples for row in streams) * job.recipe.batch.seq_len,
        parameters=sum(parameter.numel() for parameter in state.model.parameters()),
        final_loss=losses.get(steps - 1),  # a kill may have left lines of steps that the checkpoint does not have
        heldout_bits_per_byte=heldout["all"].bits_per_byte if heldout else None,
        heldout={
            name: {"bits_per_byte": totals.bits_per_byte, "text_bytes": totals.text_bytes, "tokens": totals.tokens}
            for name, totals in heldout.items()
        },
        streams=streams,
        ended=str(watch.loader.ended) if watch.loader.ended is not None else None,
        not_evaluated=not_evaluated,
        wall_s=round(wall_s, 1),
    )
