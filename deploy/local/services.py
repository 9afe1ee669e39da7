"""What `phasemix up` runs on this machine: each service's command, what it needs, how it is known to be ready.

Always holds: deciding only; a service's command is a function of the options, the root and Redis's address.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from streamer.errors import PhasemixError

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # before a restart
LOOPBACK = "127.0.0.1"
STEADY_S = 60.0  # who has run for so long starts with the first wait again


class SupervisorError(PhasemixError):
    """A port in use, a service that does not start, or nothing there to stop."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` was asked for. `mixer_fd`: the descriptor of the bound socket of `mixer_host` and `mixer_port`, which the
    mixer inherits. `tokens`: the file of tokens.
    """

    root: str
    mixer_port: int
    mixer_fd: int
    engine_port: int
    mixer_host: str = LOOPBACK
    tokens: str | None = None
    redis_url: str | None = None
    engine_url: str | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service. `address`: where others reach it. It is ready when `ready_port` of `ready_host` answers HTTP at
    `ready_path`, or `ready_file` is there; at once where neither is set.

    `stage`: services stop from the highest stage down. `drain_s`: how long it may take to end after SIGTERM.
    `temporary`: its folder of temporary files, where its sockets may lie.
    """

    name: str
    argv: tuple[str, ...]
    stage: int
    address: str = ""
    ready_port: int | None = None
    ready_host: str = LOOPBACK
    ready_path: str = "/"
    ready_file: str | None = None
    inherits: tuple[int, ...] = ()
    temporary: str | None = None
    drain_s: float = 10.0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_address(host: str) -> str:
    """A host as an address has it."""
    return f"[{host}]" if ":" in host else host


def reachable(host: str) -> str:
    """Where this machine reaches what listens at a host; loopback for one that means every interface."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)


def module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", name, *arguments)


class Plan(Protocol):
    """What should run. Commands may depend on Redis's address, which a Redis of ours has once it runs."""

    @property
    def redis_url(self) -> str | None:
        """Of a Redis that is not ours; None: `redis` is to run."""

    def redis(self) -> Service:
        """A Redis of our own."""

    def others(self, redis_url: str) -> list[Service]:
        """All but Redis and the workers."""

    def worker(self, redis_url: str, number: int) -> Service:
        """The n-th worker, counted from 1."""


class LocalPlan:
    """The services of `phasemix up`; `folder` takes what they leave on the disk."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options, self._folder, self.redis_url = options, folder, options.redis_url

    @property
    def engine_url(self) -> str:
        """The OpenAI-compatible address that workers drive."""
        return self._options.engine_url or f"http://127.0.0.1:{self._options.engine_port}/v1"

    def redis(self) -> Service:
        ready = str(self._folder / "redis.address")
        argv = module("deploy.local.service_process", "redis", ready)
        return Service(name="redis", argv=argv, stage=0, ready_file=ready, temporary=str(self._folder / "tmp"))

    def others(self, redis_url: str) -> list[Service]:
        options = self._options
        reach = "loopback" if is_loopback(options.mixer_host) else "network"
        tokens = () if options.tokens is None else (options.tokens,)
        words = ("mixer", options.root, redis_url, str(options.mixer_fd), reach, *tokens)
        found = [
            Service(
                name="mixer",
                argv=module("deploy.local.service_process", *words),
                stage=1,
                address=f"http://{in_address(options.mixer_host)}:{options.mixer_port}",
                ready_port=options.mixer_port,
                ready_host=reachable(options.mixer_host),
                ready_path="/health",
                inherits=(options.mixer_fd,),
            ),
            Service(name="planner", argv=self._generators(redis_url, "plan"), stage=2),
            Service(name="publisher", argv=self._generators(redis_url, "publish"), stage=1),
        ]
        if options.engine_url is None:
            port = options.engine_port
            argv = module("generators.engines.offline_engine", "--port", str(port))
            address = f"{self.engine_url} (rule-based, not a model)"
            found.append(
                Service(name="engine", argv=argv, stage=1, address=address, ready_port=port, ready_path="/v1/models")
            )
        return found

    def worker(self, redis_url: str, number: int) -> Service:
        name = f"worker-{number}"
        argv = (*self._generators(redis_url, "work"), "--engine", self.engine_url, "--name", name)
        return Service(name=name, argv=argv, stage=3, drain_s=30.0)

    def _generators(self, redis_url: str, verb: str) -> tuple[str, ...]:
        return module("phasemix", "generators", verb, "--root", self._options.root, "--redis", redis_url)


def choose_workers(running: Mapping[str, bool], wanted: int) -> tuple[list[int], list[str]]:
    """(numbers to start, names to stop) so that workers 1 .. wanted run. `running`: whether it is stopping, by name."""
    names = [f"worker-{number}" for number in range(1, wanted + 1)]
    begin = [number for number, name in enumerate(names, start=1) if name not in running]
    stop = [name for name, stopping in running.items() if name.startswith("worker-") and name not in names and not stopping]
    return begin, stop
