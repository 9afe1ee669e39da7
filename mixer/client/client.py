"""The mixer's service from Python: a method a route, over one connection that is kept.

Always holds: neither FastAPI nor Redis is loaded.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mixer.client.answers import (
    Draining,
    MixturePage,
    MixtureRow,
    MixtureText,
    OrderRow,
    PoolPage,
    RunPage,
    Session,
    StreamRow,
)
from mixer.journal.connection import Body, Connection, word
from mixer.ledger.history import Event
from mixer.ledger.reports import Report
from mixer.mixture.plan import ShareChange
from mixer.pool.files import PoolFile
from mixer.preview.preview import Preview
from mixer.runs.run_info import RunInfo
from mixer.runs.series import Series
from streamer.catalog.growth import Grown


class MixerClient(Connection):
    """A service. Raises: the service's errors by their names, ServiceAwayError."""

    # what there is

    def session(self) -> Session:
        return self.get("session", Session)

    def streams(self) -> list[StreamRow]:
        return self.get("streams", list[StreamRow])

    def growth(self, stream: str) -> list[Grown]:
        return self.get("growth", list[Grown], stream=stream)

    # mixtures

    def mixtures(self) -> list[MixtureRow]:
        return self.get("mixtures", list[MixtureRow])

    def mixture_schema(self) -> Body:
        return self.get("mixtures/schema", Body)

    def versions(self, mixture: str) -> MixturePage:
        return self.get(f"mixtures/{word(mixture)}", MixturePage)

    def mixture(self, reference: str) -> MixtureText:
        name, _, version = reference.partition("@")
        return self.get(f"mixtures/{word(name)}/{word(version)}", MixtureText)

    def compare(self, before: str, after: str) -> list[ShareChange]:
        return self.get("difference", list[ShareChange], before=before, after=after)

    def apply(self, toml: str, *, why: str | None = None) -> str:
        return str(self.post("mixtures", Body, {"toml": toml, "why": why})["mixture"])

    def apply_edit(self, mixture: str, settings: Mapping[str, Any], *, why: str | None = None) -> str:
        return str(self.post("mixtures", Body, {"mixture": mixture, "settings": settings, "why": why})["mixture"])

    def preview(
        self, mixture: str, *, settings: Mapping[str, Any] | None = None, tokens: int = 0, run: str | None = None
    ) -> Preview:
        body = {"mixture": mixture, "settings": settings or {}, "tokens": tokens, "run": run}
        return self.post("mixtures/preview", Preview, body)

    def preview_text(self, toml: str, *, tokens: int = 0) -> Preview:
        return self.post("mixtures/preview", Preview, {"toml": toml, "tokens": tokens})

    # runs

    def runs(self, *, archived: bool = False) -> list[RunInfo]:
        """The runs that are not archived, or those that are."""
        return self.get("runs", list[RunInfo], **({"archived": "true"} if archived else {}))

    def run(self, run: str) -> RunPage:
        return self.get(f"runs/{word(run)}", RunPage)

    def create(self, name: str, *, mixture: str | None = None, seed: int, global_batch: int, **more: Any) -> RunInfo:
        """`more`: as `Runs.create` takes it; a `schedule` or `policy` as the route does."""
        body = {"name": name, "mixture": mixture, "seed": seed, "global_batch": global_batch, **more}
        return self.post("runs", RunInfo, body)

    def ledger(self, run: str, start: int = 0) -> list[Body]:
        return self.get(f"runs/{word(run)}/ledger", list[Body], start=start)

    def segments(self, run: str, step: int, start: int = 0) -> list[Body]:
        return self.post(f"runs/{word(run)}/segments", list[Body], {"step": step, "start": start})

    def history(self, run: str) -> list[Event]:
        return self.get(f"runs/{word(run)}/history", list[Event])

    def reports(self, run: str) -> list[Report]:
        return self.get(f"runs/{word(run)}/reports", list[Report])

    def report(self, run: str, report: Report) -> None:
        self.post(f"runs/{word(run)}/reports", Body, msgspec.to_builtins(report))

    def series(self, run: str, *, by: str = "key", points: int = 200) -> Series:
        return self.get(f"runs/{word(run)}/series", Series, by=by, points=points)

    def switch(
        self, run: str, mixture: str | None = None, at_step: int | None = None, *, why: str | None = None, **more: Any
    ) -> int:
        """`more`: a `schedule` or `policy`, as the route takes it. Returns the first step of the new shares."""
        body = {"mixture": mixture, "at_step": at_step, "why": why, **more}
        return int(self.post(f"runs/{word(run)}/switch", Body, body)["from_step"])

    def fork(self, run: str, name: str, *, at_step: int, **more: Any) -> RunInfo:
        """`more`: as `Runs.fork` takes it."""
        return self.post(f"runs/{word(run)}/fork", RunInfo, {"name": name, "at_step": at_step, **more})

    def skip(self, run: str, start_step: int, batches: int, *, why: str | None = None) -> RunInfo:
        body = {"start_step": start_step, "batches": batches, "why": why}
        return self.post(f"runs/{word(run)}/skip", RunInfo, body)

    def lengthen(self, run: str, num_steps: int, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/lengthen", RunInfo, {"num_steps": num_steps, "why": why})

    def pause(self, run: str, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/pause", RunInfo, {"why": why})

    def resume(self, run: str, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/resume", RunInfo, {"why": why})

    def end(self, run: str, *, why: str | None = None) -> RunInfo:
        return self.post(f"runs/{word(run)}/end", RunInfo, {"why": why})

    def archive(self, run: str, *, undo: bool = False, why: str | None = None) -> bool:
        """Hides a run from lists, or shows it again. Returns whether it is hidden now."""
        return bool(self.post(f"runs/{word(run)}/archive", Body, {"undo": undo, "why": why})["archived"])

    def note(self, run: str, text: str) -> list[Event]:
        return self.post(f"runs/{word(run)}/notes", list[Event], {"text": text})

    # the pool

    def pool(self) -> PoolPage:
        return self.get("pool", PoolPage)

    def scale(self, workers: int) -> int:
        return int(self.post("pool", Body, {"workers": workers})["wanted"])

    def orders(self) -> list[OrderRow]:
        """The standing orders of synthetic files, filled ones too."""
        return self.get("pool/orders", list[OrderRow])

    def order(self, glob: str, *, files: int, language: str | None = None) -> OrderRow:
        """Orders synthetic files, written from documents of the streams that a glob names."""
        return self.post("pool/orders", OrderRow, {"from": glob, "files": files, "language": language})

    def drain(self) -> Draining:
        """Has no new jobs planned; once the pool is empty, it is scaled to 0."""
        return self.post("pool/drain", Draining, {})

    def pool_files(self, verdict: str = "accepted", limit: int = 20) -> list[PoolFile]:
        return self.get("pool/files", list[PoolFile], verdict=verdict, limit=limit)
