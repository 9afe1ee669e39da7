"""What a Composer Trainer calls as it goes: to restore random state, save checkpoints, watch the steps, and stop."""

from __future__ import annotations

from typing import Any

from composer import Callback, State, Trainer
from composer.loggers import Logger
from composer.utils import reproducibility

from training.checkpoints.saver import Saver
from training.composer.language_model import LanguageModel
from training.loading.loader import MixedLoader
from training.measures.divergence import check_weights_are_finite
from training.measures.watch import StepWatch
from training.phases.phase import Optimizer, Phase
from training.processes import ranks
from training.processes.interrupts import Interrupt


class Restore(Callback):  # type: ignore[misc]
    """Before the first batch of a resumed training: the checkpoint's random state, and this recipe's optimizer settings.

    A checkpoint holds the settings, the peak rate and the horizon of then, and the rate of the step after it, which
    `--extend` moves.
    """

    def __init__(self, optimizer: Optimizer, phase: Phase, num_steps: int) -> None:
        self.trainer: Trainer | None = None
        self._optimizer, self._phase, self._num_steps = optimizer, phase, num_steps

    def fit_start(self, state: State, logger: Logger) -> None:
        schedule = self._phase.schedule
        rate = schedule.multiplier(int(state.timestamp.batch), self._num_steps)
        for scheduler in state.schedulers:
            scheduler.base_lrs = [schedule.peak_learning_rate] * len(scheduler.base_lrs)
            for group in scheduler.optimizer.param_groups:
                group.update(self._optimizer.arguments(), lr=schedule.peak_learning_rate * rate)

    def before_dataloader(self, state: State, logger: Logger) -> None:
        if self.trainer is not None and self.trainer._rng_state is not None:
            reproducibility.load_rng_state(self.trainer._rng_state)
            self.trainer._rng_state = None


class Save(Callback):  # type: ignore[misc]
    """Saves a checkpoint every so many steps, at the last one, and where the run ends."""

    def __init__(self, saver: Saver, every_steps: int, watch: StepWatch, *, saved: int) -> None:
        self._saver, self._every_steps, self._watch, self._saved = saver, every_steps, watch, saved

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        if int(state.timestamp.batch) % self._every_steps == 0 or is_last(state):
            self.save(state)

    def save(self, state: State) -> None:
        step = int(state.timestamp.batch)
        if step == self._saved:
            return
        self._saved = step
        check_weights_are_finite(state.model, step)
        self._watch.wait_for_reports()
        self._saver.save(step, lambda: {"state": state.state_dict(), "rng": reproducibility.get_rng_state()})


class StopAtInterrupt(Callback):  # type: ignore[misc]
    """Stops a training behind the step in which a signal came. It stands before the callbacks that look for a last step.

    Composer's own `stop_training` makes that step the last one, so that everything which happens at a last step happens.
    """

    def __init__(self) -> None:
        self._interrupt, self.stopped = Interrupt(ranks.say), False

    def fit_start(self, state: State, logger: Logger) -> None:
        self._interrupt.begin()

    def batch_end(self, state: State, logger: Logger) -> None:
        if self.came():
            self.stop(state)

    def came(self) -> bool:
        """Whether a signal came to any rank. Every rank must ask."""
        return self._interrupt.came()

    def stop(self, state: State) -> None:
        self.stopped = True
        state.stop_training()

    def fit_end(self, state: State, logger: Logger) -> None:
        self._interrupt.end()

    def close(self, state: State, logger: Logger) -> None:
        self._interrupt.end()


class Watch(Callback):  # type: ignore[misc]
    """Tells a StepWatch how the training goes, and stops where the run ends."""

    def __init__(self, watch: StepWatch, model: LanguageModel, loader: MixedLoader, save: Save) -> None:
        self._watch, self._model, self._loader, self._save = watch, model, loader, save

    def state_dict(self) -> dict[str, Any]:
        return self._watch.shares.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._watch.shares.load_state_dict(state)

    def fit_start(self, state: State, logger: Logger) -> None:
        self._watch.begin(int(state.timestamp.batch), next(state.model.parameters()).device)

    def before_dataloader(self, state: State, logger: Logger) -> None:
        self._watch.wait()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        self._watch.go_on()

    def batch_start(self, state: State, logger: Logger) -> None:
        self._watch.begin_step(state.batch, float(state.optimizers[0].param_groups[0]["lr"]))

    def after_loss(self, state: State, logger: Logger) -> None:
        self._watch.take_losses(state.batch["stream"], self._model.row_losses)

    def batch_end(self, state: State, logger: Logger) -> None:
        step, loss = int(state.timestamp.batch), float(state.total_loss_dict["loss/train/total"])
        self._watch.end_step(step, loss, is_last=is_last(state))

    def epoch_end(self, state: State, logger: Logger) -> None:
        self._watch.report()
        if self._loader.ended is not None:
            self._loader.begin_epoch()
            self._save.save(state)
            state.stop_training()
            self._watch.go_on()
            self._watch.say(str(self._loader.ended))

    def close(self, state: State, logger: Logger) -> None:
        self._watch.close()


class Evaluate(Callback):  # type: ignore[misc]
    """Has the StepWatch evaluate the model between steps. It stands behind Save, so that what it evaluates is saved."""

    def __init__(self, watch: StepWatch, save: Save, stop: StopAtInterrupt) -> None:
        self._watch, self._save, self._stop = watch, save, stop

    def fit_start(self, state: State, logger: Logger) -> None:
        if self._is_stopped_in(state):
            raise KeyboardInterrupt

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        if not self._stop.stopped and self._is_stopped_in(state):
            self._stop.stop(state)
            self._watch.report()
            self._save.save(state)

    def _is_stopped_in(self, state: State) -> bool:
        step = int(state.timestamp.batch)
        model = state.model
        return self._watch.evaluate_in_between(step, model, lambda ids: model({"input_ids": ids}), self._stop.came)


def is_last(state: State) -> bool:
    """Whether the step that ended is the last one: the horizon's, or the one behind which a training was interrupted."""
    assert state.max_duration is not None
    return bool(state.timestamp >= state.max_duration)
