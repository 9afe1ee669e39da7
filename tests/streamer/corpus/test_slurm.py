"""Builds on a real Slurm of one node, which the tests start for themselves."""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from datatrove.pipeline.base import PipelineStep

from streamer import Catalog
from streamer.corpus import slurm
from streamer.corpus.executors import Execution, run_stage
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe
from streamer.corpus.work_folder import PLACE
from streamer.errors import CorpusError

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
ARRAYS_OF = 4  # one fewer than there are tasks
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
MaxArraySize={arrays_of}
KillWait=5
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
SlurmdParameters=config_overrides
"""


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come")


def two_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A Slurm with room for four jobs at once. Gives its configuration."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found; apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        folder.chmod(0o711)  # munged wants its socket to be reached by all
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "key").touch(0o600)
        (folder / "key").write_bytes(secrets.token_bytes(64))
        configuration = folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname(), ports=two_ports(), user=getpass.getuser(), folder=folder, arrays_of=ARRAYS_OF
            )
        )

        def start(*command: str) -> None:
            with (folder / f"{command[0]}.log").open("w") as log:
                process = subprocess.Popen(
                    command, stdout=log, stderr=log, env={**os.environ, "PATH": PATH, "SLURM_CONF": str(configuration)}
                )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        places = [f"--{name}-file={folder}/{name}" for name in ("key", "pid", "log", "seed")]
        start("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places)
        wait_until((folder / "munge.socket").exists)
        start("slurmctld", "-D", "-i", "-f", str(configuration))
        start("slurmd", "-D", "-f", str(configuration), "-N", "node")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(configuration))
            wait_until(lambda: said("sinfo", "--noheader", "--format=%T").strip() == "idle")
            yield configuration
            subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=True)
            wait_until(lambda: not jobs())


@pytest.fixture
def quick(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that Slurm, for a builder that waits for shorter times."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    monkeypatch.setattr(slurm, "SETTLE_S", 1.0)


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def jobs() -> list[str]:
    return said("squeue", "--noheader", "--array", "--format=%i %j %T").splitlines()
