"""Which extra of the installation brings which modules, and the refusal when one is missing.

Always holds: nothing is imported to find out. The base installation reads catalogs, mixtures and runs; all else is an extra.
"""

from __future__ import annotations

from importlib.util import find_spec

from streamer.errors import MissingExtraError

EXTRAS: dict[str, tuple[str, ...]] = {
    "corpus": (
        "datatrove",
        "streaming",
        "sentence_transformers",
        "sklearn",
        "rensa",
        "license_expression",
        "kingfisher_sdk",
        "matplotlib",
        "tree_sitter_language_pack",
    ),
    "generators": ("aiohttp", "redis", "rensa", "kingfisher_sdk", "tree_sitter_language_pack", "fastapi", "uvicorn"),
    "service": ("fastapi", "uvicorn", "httpx", "prometheus_client", "plotly", "pygments", "redis"),
    "train": ("composer", "torch", "transformers"),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}


def missing_extras(*extras: str) -> list[str]:
    """Those of the named extras that are not installed, or only in part."""
    return [extra for extra in extras if not all(map(is_installed, EXTRAS[extra]))]


def is_installed(module: str) -> bool:
    """Whether a module can be imported. A folder without code (W&B writes one named `wandb`) does not count."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def require(what: str, *extras: str, otherwise: str = "") -> None:
    """Checks that extras are installed.

    Args: what, the command or name that needs them; otherwise, what else the user can do. Raises: MissingExtraError.
    """
    missing = missing_extras(*extras)
    if missing:
        raise missing_extra(what, missing, otherwise=otherwise)


def missing_extra(what: str, extras: list[str], *, otherwise: str = "") -> MissingExtraError:
    """The refusal, in one line."""
    *others, last = extras
    named = f"extras {', '.join(others)} and {last}" if others else f"extra {last}"
    return MissingExtraError(f"{what} needs the {named}: pip install 'phasemix[{','.join(extras)}]'{otherwise}")
