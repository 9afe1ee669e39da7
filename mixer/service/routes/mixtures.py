"""Mixtures: their versions, what they would give, and new ones."""

from typing import Any

from mixer.client.answers import Applied, MixturePage, MixtureRow, MixtureText
from mixer.errors import MixtureError
from mixer.mixture.grammar import schema
from mixer.mixture.plan import ShareChange
from mixer.preview.preview import Preview
from mixer.service.requests import Apply, Pair, PreviewOf, RequestError
from mixer.service.route import Question, Route, named_in_path
from mixer.service.shelf import Shelf
from streamer.wording import listed


def routes(shelf: Shelf) -> list[Route]:
    mixtures = shelf.mixtures

    def listing(asked: Question) -> list[MixtureRow]:
        rows = mixtures.list()
        return [MixtureRow(name=name, versions=count, mixture=f"{name}@{count}") for name, count in rows if count]

    def page(asked: Question) -> MixturePage:
        with named_in_path():
            known(asked.name)
            return MixturePage(name=asked.name, versions=list(mixtures.versions(asked.name)))

    def text(asked: Question) -> MixtureText:
        with named_in_path():
            known(asked.name)
            reference = f"{asked.name}@{asked.words['version']}"
            return MixtureText(mixture=reference, toml=mixtures.text(reference), document=mixtures.document(reference))

    def difference(asked: Question) -> list[ShareChange]:
        known(asked.query.before)
        known(asked.query.after)
        return list(mixtures.compare(asked.query.before, asked.query.after))

    def apply(asked: Question) -> Applied:
        body: Apply = asked.body
        if body.settings is not None and body.mixture is not None and body.toml is None:
            known(body.mixture)
            edited = mixtures.apply_edit(body.mixture, body.settings, by=asked.by, why=body.why)
            return Applied(mixture=edited)
        return Applied(mixture=mixtures.apply(text_of(body), by=asked.by, why=body.why))

    def preview(asked: Question) -> Preview:
        body: PreviewOf = asked.body
        run = None if body.run is None else shelf.run_name(body.run)
        if body.mixture is not None and body.toml is None:
            known(body.mixture)
            return mixtures.preview(body.mixture, settings=body.settings or {}, tokens=body.tokens, run=run)
        return mixtures.preview_text(text_of(body), tokens=body.tokens)

    def known(reference: Any) -> None:
        """Raises: MixtureError for a name that no mixture has, so that it leaves nothing in memory."""
        name, have = str(reference).split("@")[0], shelf.catalog.names("mixtures")
        if name not in have:
            raise MixtureError(f"mixture {reference} does not exist; mixtures: {listed(have) or 'none yet'}")

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


def text_of(body: Apply | PreviewOf) -> str:
    """The text of a body that has nothing else. Raises: RequestError."""
    if body.toml is None or body.mixture is not None or body.settings is not None:
        raise RequestError('the body needs either "toml", or "mixture" with "settings"; give one of them')
    return body.toml
