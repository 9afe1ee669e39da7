"""Reads everything that runs and mixtures consist of, and says what is wrong with it: ledgers, reports, kept states.

Always holds: nothing is written. A kept state that cannot be used is named, though it is derived again when it is needed.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from mixer.journal.journal import Forecast, absent_run, line_of
from mixer.ledger.ledger import Ledger
from mixer.ledger.reports import Reports
from mixer.mixture.versions import Versions
from mixer.planning.states import OLD_FORMAT, States, format_of
from mixer.planning.tables import BoundParts
from streamer.catalog.catalog import Catalog
from streamer.errors import PhasemixError
from streamer.store import identity
from streamer.store.entries import RESTORE, key_of
from streamer.store.log_check import LogCheck, load_all, logs_under

OTHERS = ("pools", "orders", "corpus", "archive", "evaluations")  # folders of logs that belong to no run


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a log or an object. `is_fault`: whether something must be restored, or deleted."""

    run: str = ""
    object: str
    state: str
    is_fault: bool = True


def verify_runs(catalog: Catalog, names: Iterable[str] = ()) -> Iterator[Finding]:
    """Checks the runs that are named; without names all runs, the mixtures, and what else is kept in logs."""
    names = list(names)
    for name in names:
        if not logs_under(catalog.store, f"runs/{name}") and name not in catalog.names("runs"):
            raise absent_run(catalog, name)
        yield from verify_run(catalog, name)
    if names:
        return
    for kind in ("runs", "mixtures"):
        log = LogCheck(catalog.store, f"names/{kind}")
        yield from findings_of(log)
        if not log.faults:
            known = set(catalog.names(kind))
            lying = {key.split("/")[1] for key in logs_under(catalog.store, kind)}
            for name in sorted(lying - known):
                state = f"{key_of(log.name, log.entries)} is missing: no entry there names this; {RESTORE}"
                yield Finding(object=f"{kind}/{name}", state=state)
            for name in sorted(known) if kind == "runs" else ():
                yield from verify_run(catalog, name)
    for name in logs_under(catalog.store, "mixtures"):
        yield from verify_mixture(catalog, name)
    for folder in OTHERS:
        for name in logs_under(catalog.store, folder):
            yield from findings_of(LogCheck(catalog.store, name))
    yield from verify_identity(catalog)


def verify_identity(catalog: Catalog) -> Iterator[Finding]:
    """The object by which a root is known. Roots of older versions have none until the first append."""
    try:
        data = catalog.store.get(identity.KEY)
        if data is not None:
            identity.decode(data, catalog.store.url)
    except PhasemixError as error:
        yield Finding(object=identity.KEY, state=str(error))


def findings_of(log: LogCheck, run: str = "") -> Iterator[Finding]:
    for fault in log.faults:
        yield Finding(run=run, object=log.name, state=fault)
    if not log.faults and log.entries:
        yield Finding(run=run, object=log.name, state=f"whole, {log.entries:,} entries", is_fault=False)


def verify_mixture(catalog: Catalog, log: str) -> Iterator[Finding]:
    """A mixture's log, and each version of it as a mixture."""
    check, name = LogCheck(catalog.store, log), log.split("/")[1]
    yield from findings_of(check)
    if check.faults:
        return
    for version in range(1, check.entries + 1):
        try:
            Versions(catalog).load(f"{name}@{version}")
        except PhasemixError as error:
            yield Finding(object=log, state=str(error))


def verify_run(catalog: Catalog, run: str) -> Iterator[Finding]:
    """One run: its logs, its states, and whether what it names is there."""
    ledger_log, report_log = (LogCheck(catalog.store, f"runs/{run}/{what}") for what in ("ledger", "reports"))
    yield from findings_of(ledger_log, run)
    yield from findings_of(report_log, run)
    if ledger_log.faults:
        return
    if not ledger_log.entries:
        state = f"it has a name and no entries: its creation was interrupted, or all of them are missing; {RESTORE}"
        yield Finding(run=run, object=ledger_log.name, state=state, is_fault=bool(catalog.store.list(f"runs/{run}")))
        return
    try:
        ledger = Forecast(catalog, run).ledger
        yield from verify_reach(catalog, run, ledger, ledger_log, report_log)
        yield from verify_states(catalog, run, ledger)
        yield from verify_mixtures(catalog, run, ledger)
        yield from verify_parent(catalog, run, ledger)
        BoundParts(catalog, run).check(ledger)
    except PhasemixError as error:
        yield Finding(run=run, object=ledger_log.name, state=str(error))


def verify_reach(catalog: Catalog, run: str, ledger: Ledger, log: LogCheck, reports: LogCheck) -> Iterator[Finding]:
    """Whether reports are of batches that the ledger does not have."""
    if reports.faults:
        return
    last = max((report.end_step for report in Reports(catalog, run).read()), default=0)
    if last > ledger.end:
        missing = key_of(log.name, log.entries)
        state = f"{missing} is missing: the ledger ends at step {ledger.end}, but a report at {last}; {RESTORE}"
        yield Finding(run=run, object=log.name, state=state)


def verify_states(catalog: Catalog, run: str, ledger: Ledger) -> Iterator[Finding]:
    """Every kept state, read and compared with the ledger."""
    keys = [key for key in catalog.store.list(f"runs/{run}/states") if key.rpartition("/")[2].isdecimal()]
    states = States(catalog.store, run, ledger, write=False)
    whole = 0
    for key, data in zip(keys, load_all(catalog.store, keys), strict=True):
        step = int(key.rpartition("/")[2])
        if step > ledger.end:
            state = f"the ledger ends at step {ledger.end}, before it: newest entries are missing there; {RESTORE}"
        elif isinstance(data, bytes) and (states.read(data, step) is not None or format_of(data) == OLD_FORMAT):
            whole += 1
            continue
        else:
            state = "it is damaged or of another ledger; delete it, and it is derived again when it is needed"
        yield Finding(run=run, object=key, state=state)
    if whole:
        yield Finding(run=run, object=f"runs/{run}/states", state=f"whole, {whole:,} states", is_fault=False)


def verify_mixtures(catalog: Catalog, run: str, ledger: Ledger) -> Iterator[Finding]:
    """Whether the versions that the run has had are there."""
    versions = dict(Versions(catalog).list())
    for reference in sorted({plan.mixture for plan in ledger.plans.values()}):
        name, _, version = reference.partition("@")
        if version.isdecimal() and versions.get(name, 0) < int(version):
            missing = key_of(f"mixtures/{name}", int(version) - 1)
            yield Finding(run=run, object=missing, state=f"it is missing: run {run} has had mixture {reference}; {RESTORE}")


def verify_parent(catalog: Catalog, run: str, ledger: Ledger) -> Iterator[Finding]:
    """Whether the run that this one goes on from is still the one that it was."""
    parent = ledger.parent
    if parent is None or parent.run not in catalog.names("runs"):
        return
    found = line_of(catalog, parent.run).owner(parent.step - 1).ledger.digest(parent.step)
    if found != parent.ledger:
        state = f"run {run} goes on from step {parent.step}: its digest there was {parent.ledger}, now {found}; {RESTORE}"
        yield Finding(run=run, object=f"runs/{parent.run}/ledger", state=state)


def entries_seen(catalog: Catalog) -> dict[str, int]:
    """How many entries of streams' logs the runs have seen; runs whose ledger cannot be read are left out."""
    found: dict[str, int] = {}
    with suppress(PhasemixError):
        for run in catalog.names("runs"):
            with suppress(PhasemixError):
                ledger = Forecast(catalog, run).ledger
                for stream, number in zip(ledger.streams, ledger.snapshots, strict=True):
                    found[stream] = max(number, found.get(stream, 0))
    return found
