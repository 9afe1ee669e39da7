"""Makes Hugging Face's Trainer resume at a MixedLoader's own position.

Always holds: the position is saved in the checkpoint's `trainer_state.json`, together with the step that it belongs to, and
a resumed training continues with the batch after it. Trainer's own way, which is to read and drop as many batches as were
trained, is switched off: it would build another loader from the dataset.

How: Trainer takes the loader from `get_train_dataloader`. A loader that is returned there is used as it is; only a loader
that goes through `accelerator.prepare` is split among processes again.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from training.errors import PositionError
from training.loading.loader import MixedLoader


class TrainerPosition(TrainerCallback, ExportableState):  # type: ignore[misc]
    """A callback for `transformers.Trainer` that saves and restores the position of the MixedLoader it trains on.

    Example:
        class MixedTrainer(Trainer):
            def get_train_dataloader(self):
                return MixedLoader(root, run, with_stream=False)

        MixedTrainer(model, arguments, callbacks=[TrainerPosition()]).train(resume_from_checkpoint=checkpoint)

    The arguments need `max_steps`. With `gradient_accumulation_steps=N` each optimizer step takes N of the run's batches.
    The run decides how many rows a batch has; `per_device_train_batch_size` has no effect.
    """

    def __init__(self) -> None:
        self._loader: MixedLoader | None = None

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        """Switches off Trainer's own skipping of batches."""
        args.ignore_data_skip = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: Any, *, train_dataloader: Any = None, **_: Any
    ) -> None:
        """Moves the loader to the position of the checkpoint that is resumed. Raises: PositionError."""
        if not isinstance(train_dataloader, MixedLoader):
            raise PositionError(
                f"TrainerPosition needs a MixedLoader, but the Trainer trains on a {type(train_dataloader).__name__}. "
                "Return the MixedLoader from get_train_dataloader, without accelerator.prepare."
            )
        self._loader = train_dataloader
        if not state.global_step:
            return
        saved = state.stateful_callbacks.get(type(self).__name__)
        if not saved or saved["attributes"]["position"] is None:
            raise PositionError(
                f"The checkpoint of step {state.global_step} holds no position of a MixedLoader, because TrainerPosition "
                "was not among the callbacks that saved it. Resume from another checkpoint."
            )
        train_dataloader.load_state_dict(saved["attributes"]["position"])

    def state(self) -> dict[str, Any]:
        """What Trainer saves for this callback in `trainer_state.json`."""
        position = None if self._loader is None else self._loader.state_dict()
        return {"args": {}, "attributes": {"position": position}}
