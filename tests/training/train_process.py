"""Small trainings by either trainer, and other programs of long imports, as processes of their own."""

import atexit
import functools
import itertools
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TRAINER = "composer"  # which one `words` asks for; the fixture `trainer` changes it
SMALL = [
    "--set", "batch.seq_len=32", "--set", "batch.global_batch=8", "--set", "batch.microbatch=4",
    "--set", "model.vocab_size=512", "--set", "model.hidden_size=32", "--set", "model.num_layers=2",
    "--set", "model.intermediate_size=64", "--set", "model.dropout=0.1", "--set", "checkpoints.every_steps=4",
]  # fmt: skip


def words(root: Path, run: str, *more: str) -> list[str]:
    """Behind `python -m training` or a launcher's own `training`."""
    return ["general", "--mixture", "code", "--run", run, "--root", str(root), "--trainer", TRAINER, *SMALL, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


@functools.cache
def forks(*modules: str) -> Path:
    """The folder, with its socket, of a process that forks programs that need these modules; it ends with this one."""
    folder = tempfile.mkdtemp(prefix="forks-")
    server = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("forked.py")), f"{folder}/socket", *modules],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return Path(folder)


class Forked:
    """`python PROGRAM WORDS`, started in a folder by a process of `forks`; what subprocess.Popen offers of it."""

    def __init__(self, server: Path, program: Path, words: list[str], folder: Path = REPOSITORY, **variables: str) -> None:
        descriptor, output = tempfile.mkstemp(dir=server)
        os.close(descriptor)
        self._output = Path(output)
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(server / "socket"))
        asked = {
            "program": str(program), "words": words, "folder": str(folder), "output": output, "variables": variables,
        }  # fmt: skip
        self._connection.sendall(json.dumps(asked).encode() + b"\n")
        self.pid = self._number()
        self._code: int | None = None

    def _number(self) -> int:
        return int.from_bytes(self._connection.recv(8, socket.MSG_WAITALL), sys.byteorder, signed=True)

    def poll(self, timeout: float = 0) -> int | None:
        """Its exit code, None while it goes on."""
        if self._code is None and select.select([self._connection], [], [], timeout)[0]:
            self._code = self._number()
            self._connection.close()
        return self._code

    def output(self) -> str:
        """What it wrote until now to both its outputs."""
        return self._output.read_text()


def trainers(words: list[str]) -> Path:
    """Forks of a process that has the trainer that is asked for, and what Composer asks of each machine: its processor."""
    *_, asked = (word for option, word in itertools.pairwise(words) if option == "--trainer")  # the last one holds
    if asked == "torch":
        return forks("training.torch_loop.trainer", "transformers.models.llama.modeling_llama")
    return forks("training.composer.trainer", "composer.utils.collect_env:get_cpu_model")


class Training(Forked):
    """`python -m training WORDS`, started."""

    def __init__(self, words: list[str], **variables: str) -> None:
        super().__init__(trainers(words), REPOSITORY / "training" / "__main__.py", words, **variables)


def worlds(world_size: int) -> list[dict[str, str]]:
    """The environment variables of each rank of one training; none of a training of one process."""
    if world_size == 1:
        return [{}]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return [
        {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size),
         "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
        for rank in range(world_size)
    ]  # fmt: skip


def start_ranks(words: list[str], world_size: int) -> list[Training]:
    """The ranks of one training, each a process of its own."""
    return [Training(words, **world) for world in worlds(world_size)]


def train(root: Path, run: str, *more: str) -> str:
    """A training to its end: what it wrote."""
    return finish(Training(words(root, run, *more)))


def finish(training: Training) -> str:
    assert training.poll(timeout=200) == 0, training.output()
    return training.output()


def launch(launcher: list[str], *words: str) -> None:
    """The training of several processes that a launcher's module starts."""
    argv = [sys.executable, "-m", *launcher, "training", *words]
    done = subprocess.run(argv, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
