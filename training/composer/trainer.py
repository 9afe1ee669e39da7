"""The one file that builds a Composer Trainer, with a phase's model, loader, schedule and checkpoints.

Always holds:
- step s is taken at the schedule's rate for s, with the s-th global batch that the run hands out, before and after any
  crash. That is batch s except for those skipped, so everything that counts steps here counts trained ones;
- a checkpoint holds model, optimizer, random state, counts and position together, and appears whole (checkpoints/files.py).

How: Composer counts one endless epoch, in which `sample_in_epoch` is the position. It restores no random state inside an
epoch when the dataset resumes itself, so `callbacks.Restore` does.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from composer import Callback, State, Trainer
from composer.core import DataSpec
from composer.utils import dist, get_device
from composer.utils.parallelism import FSDP2Config

from training.checkpoints import files
from training.checkpoints.saver import Saver
from training.checkpoints.weights import check_weights, safely
from training.composer.callbacks import Evaluate, Restore, Save, StopAtInterrupt, Watch
from training.composer.language_model import Clipping, LanguageModel
from training.errors import RecipeError
from training.loading.loader import MixedLoader
from training.measures.result import Result, finish, take_over_logs
from training.measures.watch import StepWatch, open_loader
from training.model.llama import make_llama, to_model_dtype
from training.phases.job import Job
from training.phases.phase import Phase
from training.processes import ranks
from training.processes.device import choose_device


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
    written to the folder; DivergenceError; KeyboardInterrupt where it was interrupted, behind a step that is saved.
    """
    with ranks.plain_losses(), files.plain_refusals(Path(job.save_folder)), Saver(job) as saver:
        return train_in(Path(job.save_folder), job, saver)


def train_in(folder: Path, job: Job, saver: Saver) -> Result | None:
    """As `train`, but a disk that refuses a write, or a rank that is lost, still raises what it raised."""
    began = time.monotonic()
    recipe = job.recipe
    if "GROUP_RANK" in os.environ:  # so torchrun calls what Composer looks for when it loads a checkpoint
        os.environ.setdefault("NODE_RANK", os.environ["GROUP_RANK"])
    if choose_device(recipe.numerics.device, 0).type == "cpu" and recipe.numerics.precision != "fp32":
        raise RecipeError(
            f"numerics.precision is {recipe.numerics.precision}, but on the CPU Composer computes in fp32 alone; add --set "
            "numerics.precision=fp32, or take --trainer torch"
        )
    dist.initialize_dist(get_device(recipe.numerics.device))
    saver.lock()
    if ranks.rank() == 0:
        take_over_logs(folder, job)
    saver.begin()
    loader = open_loader(job)
    ranks.say("building the model and the trainer")
    model = LanguageModel(make_llama(recipe))
    watch, stop = StepWatch(job, loader), StopAtInterrupt()
    restore = Restore(recipe.optimizer, recipe.phase(job.phase), job.num_steps)
    save = Save(saver, recipe.checkpoints.every_steps, watch, saved=job.resume_step if job.resume else -1)
    callbacks = [restore, stop, Watch(watch, model, loader, save), save, Evaluate(watch, save, stop)]
    trainer = build_trainer(job, model, loader, watch, callbacks)
    restore.trainer = trainer
    try:
        if watch.is_left_to_train():
            trainer.fit()
        if stop.stopped:
            saver.finish()
            raise KeyboardInterrupt
        trained = trainer.state.model
        steps = int(trainer.state.timestamp.batch)
        with saver.completed():
            return finish(job, watch, loader, trained, lambda ids: trained({"input_ids": ids}), steps=steps, began=began)
    finally:
        trainer.engine.close()


def build_trainer(
    job: Job, model: LanguageModel, loader: MixedLoader, watch: StepWatch, callbacks: list[Callback]
) -> Trainer:
    """The Trainer, at the position of the checkpoint that is resumed."""
    recipe, phase = job.recipe, job.recipe.phase(job.phase)
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.schedule.peak_learning_rate, **recipe.optimizer.arguments())
    rows, checkpoint = loader.dataset.global_batch // ranks.world_size(), job.resume or job.weights
    if checkpoint is not None:
        check_weights(Path(checkpoint), model, resumed_by="composer" if job.resume else None)
    with safely():
        return Trainer(
            model=model,
            train_dataloader=DataSpec(loader, microbatch_transforms=to_model_dtype),
            max_duration=f"{job.num_steps}ba",
            optimizers=optimizer,
            schedulers=PhaseSchedule(phase, job.num_steps),
            step_schedulers_every_batch=True,
            algorithms=[Clipping(recipe.optimizer.clip_norm, watch)],
            callbacks=callbacks,
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
