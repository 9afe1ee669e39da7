"""Runs: made, shown, steered, and their ledgers handed out."""

from typing import Any

import msgspec

from mixer.client.answers import Archived, RunPage, Switched
from mixer.ledger.history import Event
from mixer.ledger.ledger import Shape, Step
from mixer.ledger.reports import Report, Reports
from mixer.reading.batch_page import BatchPage
from mixer.runs.evaluations import Evaluation, read_evaluations
from mixer.runs.run_info import RunInfo
from mixer.runs.series import Series
from mixer.service import requests
from mixer.service.requests import From, Line, Name, Reference, Why
from mixer.service.route import Question, Route
from mixer.service.shelf import Shelf
from mixer.steering.schedules import Function, Schedule, steering_of

Body = dict[str, Any]


class Create(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new run, as `Runs.create` takes it: with a mixture and perhaps a policy, or a schedule of mixtures."""

    name: Name
    mixture: Reference | None = None
    schedule: Schedule | None = None
    policy: Function | None = None
    parent: Name | None = None
    parent_step: Step | None = None
    why: Line | None = None


def routes(shelf: Shelf) -> list[Route]:
    runs = shelf.runs

    def listing(asked: Question) -> list[RunInfo]:
        return runs.list(archived=asked.query.archived)

    def show(asked: Question) -> RunPage:
        name = shelf.run_name(asked.name)
        return RunPage(**msgspec.structs.asdict(runs.show(name)), use=list(runs.use(name)))

    def create(asked: Question) -> RunInfo:
        if asked.body.parent is not None:
            shelf.run_name(asked.body.parent)
        given = msgspec.structs.asdict(asked.body)
        steering = steering_of(given.pop("schedule"), given.pop("policy"))
        return runs.create(**given, steering=steering, by=asked.by)

    async def ledger(asked: Question) -> bytes:
        return await shelf.ledger(asked.name).refreshed(asked.query.start)

    async def segments(asked: Question) -> bytes:
        held, body = shelf.ledger(asked.name), asked.body
        return held.segments(body.step, body.start) or await held.cover(body.step, body.start)

    def history(asked: Question) -> list[Event]:
        return list(runs.history(shelf.run_name(asked.name)))

    def reports(asked: Question) -> list[Report]:
        return Reports(shelf.catalog, shelf.run_name(asked.name)).read()

    def report(asked: Question) -> Body:
        runs.report(shelf.run_name(asked.name), asked.body)
        return {}

    def series(asked: Question) -> Series:
        query: requests.Series = asked.query
        return shelf.curves(asked.name).series(query.by, points=query.points, start=query.start, end=query.end)

    def batch(asked: Question) -> BatchPage:
        query: requests.OfBatch = asked.query
        return shelf.batches(asked.name).page(query.step, query.first, query.limit)

    def switch(asked: Question) -> Switched:
        body: requests.Switch = asked.body
        name, steering = shelf.run_name(asked.name), steering_of(body.schedule, body.policy)
        step = runs.switch(name, body.mixture, body.at_step, steering=steering, by=asked.by, why=body.why)
        return Switched(from_step=step)

    def fork(asked: Question) -> RunInfo:
        return runs.fork(shelf.run_name(asked.name), **msgspec.structs.asdict(asked.body), by=asked.by)

    def skip(asked: Question) -> RunInfo:
        body: requests.Skip = asked.body
        runs.skip(shelf.run_name(asked.name), body.start_step, body.batches, by=asked.by, why=body.why)
        return runs.show(asked.name)

    def lengthen(asked: Question) -> RunInfo:
        body: requests.Lengthen = asked.body
        return runs.lengthen(shelf.run_name(asked.name), body.num_steps, by=asked.by, why=body.why)

    def pause(asked: Question) -> RunInfo:
        runs.pause(shelf.run_name(asked.name), by=asked.by, why=asked.body.why)
        return runs.show(asked.name)

    def resume(asked: Question) -> RunInfo:
        runs.resume(shelf.run_name(asked.name), by=asked.by, why=asked.body.why)
        return runs.show(asked.name)

    def end(asked: Question) -> RunInfo:
        runs.end(shelf.run_name(asked.name), by=asked.by, why=asked.body.why)
        return runs.show(asked.name)

    def archive(asked: Question) -> Archived:
        body: requests.Archive = asked.body
        runs.archive(shelf.run_name(asked.name), undo=body.undo, by=asked.by, why=body.why)
        return Archived(archived=not body.undo)

    def note(asked: Question) -> list[Event]:
        runs.note(shelf.run_name(asked.name), asked.body.text, by=asked.by)
        return list(runs.history(asked.name))

    def evaluations(asked: Question) -> list[Evaluation]:
        return read_evaluations(shelf.catalog, shelf.run_name(asked.name))

    def version(asked: Question) -> str:
        return shelf.run_version(asked.name)

    def series_version(asked: Question) -> str:
        query: requests.Series = asked.query
        return f"{shelf.run_version(asked.name)}-{query.by}-{query.points}-{query.start}-{query.end}"

    def runs_version(asked: Question) -> str:
        return f"{shelf.runs_version()}-{asked.query.archived}"

    one, ledgers = "/runs/{name}", list[Body]
    rows: Any = [
        Route(
            "GET", "/runs", "every run as it is now, but for those that are archived", listing, list[RunInfo],
            query=requests.Listing, version=runs_version,
        ),
        Route("POST", "/runs", "bind a run to a mixture version", create, RunInfo, body=Create),
        Route("GET", one, "a run, and what it drew of each stream", show, RunPage, version=version),
        Route("GET", f"{one}/ledger", "the ledger's entries from one on", ledger, ledgers, query=From),
        Route("POST", f"{one}/segments", "have the ledger cover a step", segments, ledgers, body=requests.Segments),
        Route("GET", f"{one}/history", "what happened, when, by whom, why", history, list[Event]),
        Route("GET", f"{one}/evaluations", "what its checkpoints came to on benchmarks", evaluations, list[Evaluation]),
        Route("GET", f"{one}/reports", "losses and samples reported", reports, list[Report]),
        Route("POST", f"{one}/reports", "report losses and samples", report, Body, body=Report),
        Route(
            "GET", f"{one}/series", "shares and losses over the steps", series, Series,
            query=requests.Series, version=series_version,
        ),
        Route("GET", f"{one}/batch", "documents of a batch, with text and scores", batch, BatchPage, query=requests.OfBatch),
        Route("POST", f"{one}/switch", "make another version take effect", switch, Switched, body=requests.Switch),
        Route("POST", f"{one}/fork", "start a run from a step of this one", fork, RunInfo, body=requests.Fork),
        Route("POST", f"{one}/skip", "leave out batches", skip, RunInfo, body=requests.Skip),
        Route("POST", f"{one}/lengthen", "move the horizon to a later step", lengthen, RunInfo, body=requests.Lengthen),
        Route("POST", f"{one}/pause", "write no further segment", pause, RunInfo, body=Why),
        Route("POST", f"{one}/resume", "write segments again", resume, RunInfo, body=Why),
        Route("POST", f"{one}/end", "end the run", end, RunInfo, body=Why),
        Route("POST", f"{one}/archive", "hide it from lists, or show it again", archive, Archived, body=requests.Archive),
        Route("POST", f"{one}/notes", "write a note into the history", note, list[Event], body=requests.Note),
    ]  # fmt: skip
    return list(rows)
