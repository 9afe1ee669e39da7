"""Mixtures: their versions, what they would give, and new ones."""

from typing import Any

import msgspec

from mixer.errors import MixtureError

schema: Any = None
Version: Any = Any
Preview: Any = Any
ShareChange: Any = Any
from mixer.service.requests import Apply, Pair, PreviewOf, RequestError
from mixer.service.route import Question, Route, named_in_path
from mixer.service.shelf import Shelf


class MixtureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture and its newest version, `name@v`."""

    name: str
    versions: int
    mixture: str


class MixturePage(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture's history."""

    name: str
    versions: list[Version]


class MixtureText(msgspec.Struct, frozen=True, kw_only=True):
    """A version as canonical TOML and as JSON."""

    mixture: str
    toml: str
    document: dict[str, Any]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The version, `name@v`."""

    mixture: str


def routes(shelf: Shelf) -> list[Route]:
    mixtures = shelf.mixtures

    def listing(asked: Question) -> list[MixtureRow]:
        rows = mixtures.list()
        return [MixtureRow(name=name, versions=count, mixture=f"{name}@{count}") for name, count in rows if count]

    def page(asked: Question) -> MixturePage:
        with named_in_path():
            known(asked.name)
            return MixturePage(name=asked.name, versions=mixtures.versions(asked.name))

    def text(asked: Question) -> MixtureText:
        with named_in_path():
            known(asked.name)
            reference, mixture = mixtures.load(f"{asked.name}@{asked.words['version']}")
            document = msgspec.to_builtins(mixture)
            return MixtureText(mixture=reference, toml=mixtures.text(reference), document=document)

    def difference(asked: Question) -> list[ShareChange]:
        known(asked.query.before)
        known(asked.query.after)
        return mixtures.compare(asked.query.before, asked.query.after)

    def apply(asked: Question) -> Applied:
        body: Apply = asked.body
        if one_of(body):
            return Applied(mixture=mixtures.apply(body.toml, by=asked.by, why=body.why))
        known(body.mixture)
        return Applied(mixture=mixtures.apply_edit(body.mixture, body.settings, by=asked.by, why=body.why))

    def preview(asked: Question) -> Preview:
        body: PreviewOf = asked.body
        run = None if body.run is None else shelf.run_name(body.run)
        if one_of(body, settings_needed=False):
            return mixtures.preview_text(body.toml, tokens=body.tokens)
        known(body.mixture)
        settings = body.settings or {}
        return mixtures.preview(body.mixture, settings=settings, tokens=body.tokens, run=run)

    def known(reference: Any) -> None:
        """Raises: MixtureError for a name that no mixture has, so that it leaves nothing in memory."""
        name, have = str(reference).split("@")[0], shelf.catalog.names("mixtures")
        if name not in have:
            raise MixtureError(f"mixture {reference} does not exist; mixtures: {', '.join(have) or 'none yet'}")

    rows: Any = [
        Route("GET", "/mixtures", "every mixture and its newest version", listing, list[MixtureRow]),
        Route("GET", "/mixtures/schema", "the JSON schema of a mixture file", lambda asked: schema(), dict[str, Any]),
        Route("GET", "/mixtures/{name}", "a mixture's versions: when, by whom, why", page, MixturePage),
        Route("GET", "/mixtures/{name}/{version}", "one version", text, MixtureText),
        Route("GET", "/difference", "two versions in resolved shares", difference, list[ShareChange], query=Pair),
        Route("POST", "/mixtures", "make a version", apply, Applied, body=Apply),
        Route("POST", "/mixtures/preview", "what a version or text would give", preview, Preview, body=PreviewOf),
    ]
    return list(rows)


def one_of(body: Apply | PreviewOf, *, settings_needed: bool = True) -> bool:
    """Whether a body has a text, not a version with settings. Raises: RequestError when it has neither or both."""
    has_text = isinstance(body.toml, str)
    has_version = isinstance(body.mixture, str) and (isinstance(body.settings, dict) or not settings_needed)
    has_any = isinstance(body.mixture, str) or isinstance(body.settings, dict)
    if has_text == has_version or (has_text and has_any):
        raise RequestError('the body needs either "toml", or "mixture" with "settings"; give one of them')
    return has_text
