"""What `phasemix up` runs on this machine: each service's command, what it needs, how it is known to be ready.

Always holds: deciding only; a service's command is a function of the options and the folder.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from deploy.local.redis_server import find_redis, redis_address, redis_argv
from streamer.errors import PhasemixError

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # before a restart
LOOPBACK = "127.0.0.1"
REDIS = "PHASEMIX_REDIS"
STEADY_S = 60.0  # who has run for so long starts with the first wait again


class SupervisorError(PhasemixError):
    """A port in use, a service that does not start, or nothing there to stop."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` was asked for. `mixer_fd`: the descriptor of the bound socket of `mixer_host` and `mixer_port`, which the
    mixer inherits. `tokens`: the file of tokens; `engines`: addresses up to /v1, none for the rule-based one.

    `redis_url` may hold a password, so that it goes from process to process in `PHASEMIX_REDIS` and in no argument.
    """

    root: str
    mixer_port: int
    mixer_fd: int
    engine_port: int
    mixer_host: str = LOOPBACK
    tokens: str | None = None
    redis_url: str | None = None
    engines: tuple[str, ...] = ()
    model: str | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service. `address`: where others reach it. It is ready when an HTTP server or a Redis answers at `ready_at`; at
    once where that is not set.

    `stage`: services stop from the highest stage down, and those of stage 0 are ready before others start. `drain_s`: how
    long it may take to end after SIGTERM.
    """

    name: str
    argv: tuple[str, ...]
    stage: int
    address: str = ""
    ready_at: str | None = None
    inherits: tuple[int, ...] = ()
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
    """What should run."""

    def services(self) -> list[Service]:
        """All but the workers."""

    def worker(self, number: int) -> Service:
        """The n-th worker, counted from 1."""


class LocalPlan:
    """The services of `phasemix up`; `folder` takes what they leave on the disk."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options, self._folder = options, folder

    @property
    def redis_url(self) -> str:
        """The address of the Redis that was named, else of our own."""
        return self._options.redis_url or redis_address(self._folder / "tmp")

    @property
    def engines(self) -> tuple[str, ...]:
        """The OpenAI-compatible addresses that workers drive."""
        return self._options.engines or (f"http://127.0.0.1:{self._options.engine_port}/v1",)

    def services(self) -> list[Service]:
        options = self._options
        reach = "loopback" if is_loopback(options.mixer_host) else "network"
        tokens = () if options.tokens is None else (options.tokens,)
        words = (options.root, str(options.mixer_fd), reach, *tokens)
        found = [
            Service(
                name="mixer",
                argv=module("deploy.local.service_process", *words),
                stage=1,
                address=f"http://{in_address(options.mixer_host)}:{options.mixer_port}",
                ready_at=f"http://{in_address(reachable(options.mixer_host))}:{options.mixer_port}/health",
                inherits=(options.mixer_fd,),
            ),
            Service(name="planner", argv=self._generators("plan"), stage=2),
            Service(name="publisher", argv=self._generators("publish"), stage=1),
        ]
        if options.redis_url is None:
            argv, url = redis_argv(find_redis(), self._folder / "tmp"), self.redis_url
            found.append(Service(name="redis", argv=argv, stage=0, address=url, ready_at=url))
        if not options.engines:
            argv, (url,) = module("generators.engines.offline_engine", "--port", str(options.engine_port)), self.engines
            address = f"{url} (rule-based, not a model)"
            found.append(Service(name="engine", argv=argv, stage=1, address=address, ready_at=f"{url}/models"))
        return found

    def worker(self, number: int) -> Service:
        name = f"worker-{number}"
        engines = [word for url in self.engines for word in ("--engine", url)]
        model = () if self._options.model is None else ("--model", self._options.model)
        argv = (*self._generators("work"), *engines, *model, "--name", name)
        return Service(name=name, argv=argv, stage=3, drain_s=30.0)

    def _generators(self, verb: str) -> tuple[str, ...]:
        return module("phasemix", "generators", verb, "--root", self._options.root)


def choose_workers(running: Mapping[str, bool], wanted: int) -> tuple[list[int], list[str]]:
    """(numbers to start, names to stop) so that workers 1 .. wanted run. `running`: whether it is stopping, by name."""
    names = [f"worker-{number}" for number in range(1, wanted + 1)]
    begin = [number for number, name in enumerate(names, start=1) if name not in running]
    stop = [name for name, stopping in running.items() if name.startswith("worker-") and name not in names and not stopping]
    return begin, stop
