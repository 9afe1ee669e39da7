"""A vLLM server on this machine, with the flags that suit it.

Always holds: deciding only; what is run is a function of the model, the machine and the wishes.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from generators.errors import EngineError

OWN = Path(".engine/bin/python")  # what `make engine` makes
MODULE = "vllm.entrypoints.openai.api_server"
LIST_TIMEOUT_S = 30.0
CPU_SEQUENCES = 8  # for each core: more do not raise the tokens a second there
CPU_CACHE_SHARE = 0.25  # of the memory


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs, cores and memory of a machine."""

    gpus: int
    cores: int
    memory_bytes: int


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What is run: a command line, and what is added to the environment."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    url: str


def this_machine() -> Machine:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(gpus=count_gpus(), cores=len(os.sched_getaffinity(0)), memory_bytes=pages * size)


def count_gpus() -> int:
    """How many GPUs the driver lists. Raises: EngineError when it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        found = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=LIST_TIMEOUT_S)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise EngineError(f"{tool} -L does not list the GPUs ({type(error).__name__}); mend the driver first") from error
    return sum(line.startswith("GPU ") for line in found.stdout.splitlines()) if found.returncode == 0 else 0


def find_python(given: str | None) -> str:
    """The Python that has vLLM. Raises: EngineError."""
    if given is not None:
        if not Path(given).is_file():
            raise EngineError(f"--python {given} is not there; name the Python of the environment that has vLLM")
        return given
    if OWN.is_file():
        return str(OWN.absolute())
    if importlib.util.find_spec("vllm") is not None:
        return sys.executable
    raise EngineError(
        "vLLM is not installed here, and its pins exclude those of the trainers: install it into an environment of its own "
        "and name the Python of that with --python"
    )


def server_of(model: str, *, python: str, port: int, machine: Machine, name: str | None, more: Sequence[str]) -> Server:
    """`name`: what the model is called in answers and identities; `more`: flags of vLLM that come last and so decide."""
    is_folder = Path(model).is_dir()
    called = name or (Path(model).resolve().name if is_folder else model)
    words = ["--model", model, "--served-model-name", called, "--host", "127.0.0.1", "--port", str(port)]
    environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if is_folder:
        environment["HF_HUB_OFFLINE"] = "1"
    if machine.gpus:
        words += ["--enable-prefix-caching"]
        if machine.gpus > 1:
            words += ["--data-parallel-size", str(machine.gpus)]
    else:
        words += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", str(CPU_SEQUENCES * machine.cores)]
        gib = max(1, int(machine.memory_bytes * CPU_CACHE_SHARE) >> 30)
        environment["VLLM_CPU_KVCACHE_SPACE"] = os.environ.get("VLLM_CPU_KVCACHE_SPACE", str(gib))
    return Server(argv=(python, "-m", MODULE, *words, *more), environment=environment, url=f"http://127.0.0.1:{port}/v1")
