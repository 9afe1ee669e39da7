"""What a recipe says about a phase: its horizon, its schedule, the model, the optimizer and the batch.

Always holds:
- a recipe is frozen and complete: an unknown key, a missing key or one of the wrong type is refused with its table and key;
- the paper's numbers stand in `training/recipes/paper.toml` alone. Defaults here are ours and say nothing about the paper.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec

from mixer.faults import Fault, Path, check
from streamer.documents.toml_text import MOST_DOTTED, parse_value
from streamer.errors import TomlError
from streamer.wording import did_you_mean, listed, plain, shown
from training.errors import RecipeError
from training.phases.loggers import Loggers, TensorBoard
from training.phases.objective import Objective
from training.phases.recipe_file import OTHER, Layer, merge, place_of, read_layers
from training.phases.schedule import Kind, multiplier

PhaseName = Literal["general", "continued", "enhanced"]
PHASES: tuple[str, ...] = get_args(PhaseName)
MOST_TOKENS = 1e18

Count = int | str  # a number, or one with K, M, B or T behind it: "12.5B"


class ModelShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Llama's shape; sizes in units of the model's own vectors.

    Attributes:
        hidden_size: The width of the model. `num_heads` must divide it.
        intermediate_size: The width of a layer's feed-forward part.
        num_layers: How many layers the model has.
        num_heads: How many attention heads a layer has.
        num_kv_heads: How many heads have keys and values of their own. It must divide `num_heads`.
        vocab_size: How many token ids the model knows: at least as many as the corpus's tokenizer has.
        rope_theta: The base of the rotary position embedding.
        tied_embeddings: Whether the output layer uses the weights of the input embedding.
        dropout: The share of activations that are set to zero while training.
    """

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int
    rope_theta: float = 10_000.0
    tied_embeddings: bool = True
    dropout: float = 0.0


class Optimizer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Adam, with decoupled weight decay where it is not zero.

    Attributes:
        beta1: How slowly the mean of the gradients changes.
        beta2: How slowly the mean of their squares changes.
        epsilon: What is added to the divisor of a step.
        weight_decay: The decoupled weight decay.
        clip_norm: The norm to which larger gradients are scaled down.
    """

    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 1.0

    def arguments(self) -> dict[str, Any]:
        """All but the clipping, as torch's AdamW calls them."""
        return {"betas": (self.beta1, self.beta2), "eps": self.epsilon, "weight_decay": self.weight_decay}


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a step takes: samples of `seq_len` tokens.

    Attributes:
        seq_len: How many tokens a sample has, as the corpus was packed and the mixture says.
        global_batch: How many samples all ranks together take in a step. The number of ranks must divide it.
        microbatch: How many samples a rank passes through the model at once. A smaller number needs less memory and gives
            the same step.
        seed: The seed of the order of samples and of the model's first weights.
        canonical_nodes: For how many nodes the order is made, so that each fetches shards of its own. It stays when the
            number of nodes changes.
        loader_workers: How many processes of each rank read. With 0 the training process reads.
    """

    seq_len: int
    global_batch: int
    microbatch: int
    seed: int
    canonical_nodes: int = 1
    loader_workers: int = 0


class Checkpoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a checkpoint is saved and how many stay; the last step is always saved.

    Attributes:
        every_steps: After how many steps a checkpoint is saved.
        keep: How many of the newest checkpoints stay.
    """

    every_steps: int = 1000
    keep: int = 2


class Reporting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the samples and losses of each stream are reported to the run, besides at each checkpoint.

    Attributes:
        every_steps: After how many steps a report is written.
    """

    every_steps: int = 32


class Heldout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is evaluated after the phase, and during it if that is asked for.

    Attributes:
        streams: A glob over the streams that are evaluated. With an empty one nothing is evaluated.
        every_steps: After how many steps the same evaluation takes place during the training. With 0 it does at the end
            alone.
        max_samples: How many samples are evaluated at most, spread evenly.
        batch_samples: How many samples a rank evaluates at once, at most as many as `batch.microbatch`.
    """

    streams: str = "heldout/*"
    every_steps: int = 0
    max_samples: int = 1024
    batch_samples: int = 16


class Numerics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which numbers and where the model computes.

    Attributes:
        precision: Composer's name of the number format that the model computes in.
        device: Where the model trains. Without it a GPU is taken where there is one.
        deterministic: Whether only deterministic operations are used, so that a training on GPUs repeats bit for bit.
        sharded: Whether each of several ranks keeps only a part of weights, gradients and optimizer state (FSDP2). Without
            it each does on GPUs with `--trainer torch`, and none with Composer.
        activation_checkpointing: Whether what a layer computed is computed again for the backward pass instead of kept. It
            takes less memory, and the step is the same.
        peak_flops: The operations a second that a device can do in this number format, for the utilisation (MFU) that is
            logged. Without it common GPUs are known by name, and of others no utilisation is logged.
    """

    precision: Literal["fp32", "amp_bf16"] = "fp32"
    device: Literal["cpu", "gpu"] | None = None
    deterministic: bool = False
    sharded: bool | None = None
    activation_checkpointing: bool = False
    peak_flops: float | None = None

    def is_sharded(self, *, by: str, on_gpu: bool) -> bool:
        """Whether several ranks of this trainer, `composer` or `torch`, divide the model."""
        return (by == "torch" and on_gpu) if self.sharded is None else self.sharded


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Learning rates of a phase; `training/phases/schedule.py` has the kinds.

    Attributes:
        kind: The form: a warm-up and half a cosine, a new warm-up and a line, a line from the peak, a constant, or a
            warm-up, the peak and a decay at the end.
        peak_learning_rate: The highest learning rate.
        final_learning_rate: The learning rate at the phase's last step. `constant` ignores it.
        warm_up_steps: For how many steps the rate rises from 0 to the peak. `linear` and `constant` ignore it.
        decay_share: For which share of the phase's steps the rate of `warm_up_stable_decay` falls. Others ignore it.
        decay_steps: The same as a number of steps. It goes before `decay_share`.
    """

    kind: Kind
    peak_learning_rate: float
    final_learning_rate: float = 0.0
    warm_up_steps: int = 0
    decay_share: float = 0.1
    decay_steps: int | None = None

    def multiplier(self, step: int, num_steps: int) -> float:
        """The multiplier of the peak rate at step `step` of `num_steps`."""
        final, warm_up = self.final_learning_rate / self.peak_learning_rate, min(self.warm_up_steps, num_steps)
        decay = round(self.decay_share * num_steps) if self.decay_steps is None else self.decay_steps
        return multiplier(
            self.kind,
            step,
            num_steps=num_steps,
            warm_up_steps=warm_up,
            final=final,
            decay_steps=min(max(decay, 1), num_steps - warm_up),
        )


class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One phase: a horizon in tokens or in steps (steps go first), and its schedule.

    Attributes:
        schedule: How the learning rate goes.
        tokens: How many tokens the phase trains on, a number or one with K, M, B or T behind it. What is left over from
            whole global batches is not trained.
        steps: How many steps the phase trains. It goes before `tokens`.
    """

    schedule: Schedule
    tokens: Count | None = None
    steps: int | None = None


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole recipe: what the phases share, and each phase.

    Attributes:
        model: The model's shape.
        batch: What a step takes.
        general: The first phase, on everything.
        continued: The second phase, on the best tokens.
        enhanced: The third phase, with synthetic files.
        optimizer: Adam's settings.
        checkpoints: When checkpoints are saved.
        reports: When samples and losses of each stream are reported.
        heldout: What is evaluated after the phase.
        numerics: In which numbers and where the model computes.
        objective: What of a batch is learned, and how it is told.
        loggers: Which tools get the training's curves.
    """

    model: ModelShape
    batch: Batch
    general: Phase
    continued: Phase
    enhanced: Phase
    optimizer: Optimizer = Optimizer()
    checkpoints: Checkpoints = Checkpoints()
    reports: Reporting = Reporting()
    heldout: Heldout = Heldout()
    numerics: Numerics = Numerics()
    objective: Objective = Objective()
    loggers: Loggers = Loggers()

    def phase(self, name: str) -> Phase:
        """The phase of that name. Raises: RecipeError."""
        check_phase_name(name)
        phase: Phase = getattr(self, name)
        return phase

    def num_steps(self, name: str) -> int:
        """The horizon of a phase in whole global batches; what is left of the tokens is not trained."""
        phase = self.phase(name)
        if phase.steps is not None:
            return phase.steps
        assert phase.tokens is not None
        return parse_count(phase.tokens) // (self.batch.global_batch * self.batch.seq_len)


def check_phase_name(name: str) -> None:
    """Raises: RecipeError when no phase has this name."""
    if name not in PHASES:
        raise RecipeError(f"unknown phase {name!r}; the phases are {', '.join(PHASES)}")


def load_recipe(text: str, *, name: str, phase: str, overrides: list[str]) -> Recipe:
    """Reads a recipe from TOML, with those that it extends and with `--set` overrides.

    Args: text; name, of the file, for errors and for where the file lies that it extends; phase, which an override means
    that names no table of the recipe (`steps=20`, `schedule.warm_up_steps=5`); overrides, each KEY=VALUE with a dotted key
    and a TOML value (or a bare word).
    Raises: RecipeError, with the table and key.
    """
    check_phase_name(phase)
    layers = read_layers(name, text)
    document = merge(layers)
    changed = {_override(document, override, phase): override for override in overrides}
    try:
        recipe = check(document, Recipe)
    except Fault as fault:
        raise RecipeError(f"{_place(layers, fault.path, changed)}: {'' if fault.of else 'it'}{fault}") from fault
    _check(recipe, name)
    return recipe


def parse_count(count: Count) -> int:
    """12.5B -> 12,500,000,000. Raises: RecipeError."""
    if isinstance(count, int):
        return count
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", count.strip().upper())
    if match is None:
        raise RecipeError(f"{count!r} is not a number of tokens; write a number, with K, M, B or T behind it if you like")
    found = float(match[1]) * {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}[match[2]]
    if found > MOST_TOKENS:
        raise RecipeError(f"{count[:40]} tokens are more than the most, {MOST_TOKENS:.0e}; give at most that")
    return round(found)


def _place(layers: list[Layer], path: Path, changed: dict[Path, str]) -> str:
    """Where a fault stands: the `--set` that says it, else the file and the line."""
    for words, override in changed.items():
        if path[: len(words)] == words:
            return f"--set {shown(override)}"
    return place_of(layers, path)


def _override(document: dict[str, Any], override: str, phase: str) -> Path:
    """Sets what an override says and returns its path. Raises: RecipeError."""
    key, equals, value = override.partition("=")
    words = key.strip().split(".")
    if not equals or not all(words) or len(words) > MOST_DOTTED:
        raise RecipeError(f"--set {shown(override)} is not KEY=VALUE, such as general.steps=200")
    if words[0] not in Recipe.__struct_fields__:
        if words[0] not in Phase.__struct_fields__:
            known = [*Recipe.__struct_fields__, *Phase.__struct_fields__]
            near = did_you_mean(words[0], known)
            raise RecipeError(f"--set {shown(override)}: there is no {plain(words[0])!r}; there are {listed(known)}{near}")
        words = [phase, *words]
    table: Any = document
    for depth, word in enumerate(words[:-1]):
        table = table.setdefault(word, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {override!r}: {'.'.join(words[: depth + 1])} is a value, not a table")
    try:
        table[words[-1]] = parse_value(value)
        table.pop(OTHER.get(words[-1], ""), None)
    except TomlError as error:
        raise RecipeError(f"--set {key.strip()}: {error.reason}") from error
    return tuple(words)


def _check(recipe: Recipe, name: str) -> None:
    for phase_name in PHASES:
        phase = recipe.phase(phase_name)
        if phase.tokens is None and phase.steps is None:
            raise RecipeError(f"recipe {name}: {phase_name} has neither tokens nor steps; give one")
        if phase.tokens is not None:
            parse_count(phase.tokens)
    if recipe.batch.global_batch >= 1 and recipe.batch.seq_len >= 2:
        check_tokens(recipe, name)
    counts: dict[str, tuple[int | None, int]] = {  # each with the least that it may be
        "model.hidden_size": (recipe.model.hidden_size, 1),
        "model.num_layers": (recipe.model.num_layers, 1),
        "model.num_heads": (recipe.model.num_heads, 1),
        "model.num_kv_heads": (recipe.model.num_kv_heads, 1),
        "model.intermediate_size": (recipe.model.intermediate_size, 1),
        "model.vocab_size": (recipe.model.vocab_size, 1),
        "batch.seq_len": (recipe.batch.seq_len, 2),
        "batch.global_batch": (recipe.batch.global_batch, 1),
        "batch.microbatch": (recipe.batch.microbatch, 1),
        "batch.canonical_nodes": (recipe.batch.canonical_nodes, 1),
        "batch.loader_workers": (recipe.batch.loader_workers, 0),
        "checkpoints.every_steps": (recipe.checkpoints.every_steps, 1),
        "checkpoints.keep": (recipe.checkpoints.keep, 1),
        "reports.every_steps": (recipe.reports.every_steps, 1),
        "heldout.every_steps": (recipe.heldout.every_steps, 0),
        "heldout.max_samples": (recipe.heldout.max_samples, 1),
        "heldout.batch_samples": (recipe.heldout.batch_samples, 1),
        **{f"{p}.steps": (recipe.phase(p).steps, 1) for p in PHASES},
        **{f"{p}.schedule.warm_up_steps": (recipe.phase(p).schedule.warm_up_steps, 0) for p in PHASES},
        **{f"{p}.schedule.decay_steps": (recipe.phase(p).schedule.decay_steps, 1) for p in PHASES},
    }
    if isinstance(recipe.loggers.tensorboard, TensorBoard):
        counts["loggers.tensorboard.flush_steps"] = recipe.loggers.tensorboard.flush_steps, 1
    for key, (count, least) in counts.items():
        if count is not None and count < least:
            raise RecipeError(f"recipe {name}: {key} = {count} is below the least, {least}; give at least that")
    most = {  # what no machine can have
        "model.hidden_size": (recipe.model.hidden_size, 1 << 20),
        "model.num_layers": (recipe.model.num_layers, 1 << 14),
        "model.intermediate_size": (recipe.model.intermediate_size, 1 << 22),
        "model.vocab_size": (recipe.model.vocab_size, 1 << 24),
        "batch.loader_workers": (recipe.batch.loader_workers, 256),
    }
    for key, (value, highest) in most.items():
        if value > highest:
            raise RecipeError(f"recipe {name}: {key} = {value:,} is above the most, {highest:,}; give at most that")
    check_reals(recipe, name)
    if recipe.model.hidden_size % recipe.model.num_heads or recipe.model.num_heads % recipe.model.num_kv_heads:
        raise RecipeError(
            f"recipe {name}: model.num_heads = {recipe.model.num_heads} must divide hidden_size = "
            f"{recipe.model.hidden_size} and be a multiple of num_kv_heads = {recipe.model.num_kv_heads}"
        )
    if (recipe.model.hidden_size // recipe.model.num_heads) % 2:
        raise RecipeError(
            f"recipe {name}: model.hidden_size = {recipe.model.hidden_size} gives each of num_heads = "
            f"{recipe.model.num_heads} heads {recipe.model.hidden_size // recipe.model.num_heads} numbers, which must be "
            "even for their positions; change one of the two"
        )


def check_tokens(recipe: Recipe, name: str) -> None:
    """Raises: RecipeError for a phase whose tokens make no step."""
    for phase_name in PHASES:
        phase, least = recipe.phase(phase_name), recipe.batch.global_batch * recipe.batch.seq_len
        if phase.steps is None and phase.tokens is not None and parse_count(phase.tokens) < least:
            raise RecipeError(
                f"recipe {name}: {phase_name}.tokens = {phase.tokens} is less than a step takes, {least:,} tokens "
                f"({recipe.batch.global_batch} samples of {recipe.batch.seq_len}); give at least that"
            )


def check_reals(recipe: Recipe, name: str) -> None:
    """Raises: RecipeError for a number outside what the optimizer, the model and the schedules can use, NaN included."""
    model, optimizer = recipe.model, recipe.optimizer
    positive = {"model.rope_theta": model.rope_theta, "optimizer.clip_norm": optimizer.clip_norm}
    if recipe.numerics.peak_flops is not None:
        positive["numerics.peak_flops"] = recipe.numerics.peak_flops
    not_negative = {"optimizer.weight_decay": optimizer.weight_decay, "optimizer.epsilon": optimizer.epsilon}
    below_one = {"model.dropout": model.dropout, "optimizer.beta1": optimizer.beta1, "optimizer.beta2": optimizer.beta2}
    for phase_name in PHASES:
        schedule, key = recipe.phase(phase_name).schedule, f"{phase_name}.schedule"
        positive[f"{key}.peak_learning_rate"] = schedule.peak_learning_rate
        not_negative[f"{key}.final_learning_rate"] = schedule.final_learning_rate
        below_one[f"{key}.decay_share"] = schedule.decay_share
    fill_in = recipe.objective.fill_in_the_middle
    shares = {} if fill_in is None else {"share": fill_in.share, "suffix_first_share": fill_in.suffix_first_share}
    to_one = {f"objective.fill_in_the_middle.{key}": share for key, share in shares.items()}
    rules: list[tuple[str, dict[str, float], Callable[[float], bool]]] = [
        ("a finite number above 0", positive, lambda number: 0 < number < math.inf),
        ("a finite number, 0 or above", not_negative, lambda number: 0 <= number < math.inf),
        ("at least 0 and below 1", below_one, lambda number: 0 <= number < 1),
        ("at least 0 and at most 1", to_one, lambda number: 0 <= number <= 1),
    ]
    for said, numbers, fits in rules:
        for key, number in numbers.items():
            if not fits(number):
                raise RecipeError(f"recipe {name}: {key} must be {said} (got {number:g})")
