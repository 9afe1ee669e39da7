"""From files that wait to parts: the gates that need more than the job, then a stream for each language.

Always holds: a file leaves the queue only after an entry names it or a gate refused it; whatever dies in between, it comes
again and is published once.
"""

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from generators.errors import GeneratorError
from generators.gates.quality import Floors
from generators.publishing.allotments import Allotments
from generators.publishing.known_files import KnownFiles, batches
from generators.publishing.orders import Order, load_orders
from generators.publishing.published_files import AllPublished
from generators.publishing.publisher import Publisher
from generators.queue.job import AcceptedFile, Reason
from generators.queue.job_queue import JobQueue, Waiting
from mixer.pool.files import KIND, Values
from streamer.catalog.catalog import Catalog
from streamer.catalog.redaction import merge
from streamer.corpus.parts.publication import contaminations, duplicates_rule
from streamer.documents.document import Document
from streamer.errors import CorpusError, MissingExtraError, PhasemixError
from streamer.likeness.contamination import Contamination, Match
from streamer.privacy.replacing import Privacy, replace
from streamer.publishing import merging
from streamer.reading.cache import Cache

MOST_HELD = 4096
MAX_WAIT_S, LONGER, SHARE_OF_STREAM = 8.0, 8, 1000
PART_TOKENS = 1 << 21
CHARACTERS_A_TOKEN = 4  # about
MOST_SMALL = 64  # folders of parts, until they are merged
SLICE_S = 1.0  # of a tick at most for learning what is known


class Publishing:
    """Publishes what waits, as soon as it makes a large part or waited long.

    `max_wait_s`: so long waits a file whose stream is small, or after which none is on its way; of a stream that has
    `SHARE_OF_STREAM` times the tokens that wait `LONGER` times as long, so that its parts stay few.
    """

    def __init__(
        self,
        catalog: Catalog,
        queue: JobQueue,
        *,
        name: str = "publisher",
        max_wait_s: float = MAX_WAIT_S,
        silent_s: float = 15.0,
        slice_s: float = SLICE_S,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._catalog, self._queue, self._name = catalog, queue, name
        self._max_wait_ms, self._silent_ms = int(max_wait_s * 1000), int(silent_s * 1000)
        self._held: dict[str, Waiting] = {}
        self._publishers: dict[str, Publisher] = {}
        self._slice_s, self._say = slice_s, say
        self._unjudged: dict[str, Waiting] = {}
        self._known: dict[str, KnownFiles] = {}
        self._contaminations: list[Contamination] | None = None
        self._published = AllPublished(catalog)
        self._orders: dict[str, Order] = {}
        self._allotments = Allotments(catalog)
        self._floors, self._said = Floors(catalog), set[str]()

    def tick(self) -> int:
        """Takes what is new and publishes what packs well or waited long. Returns: files published."""
        self._queue.keep(self._name, [*self._held, *self._unjudged])
        count = MOST_HELD - len(self._held) - len(self._unjudged)
        for waiting in self._queue.take(self._name, count=count, silent_ms=self._silent_ms):
            self._unjudged[waiting.entry] = waiting
        if not self._held and not self._unjudged:
            return 0
        self._published.refresh()
        self._orders = {order.purpose: order for order in load_orders(self._catalog)}
        self._allotments.refresh()
        self._hold()
        self._leave_out_redacted()
        is_full = len(self._held) > MOST_HELD // 2
        languages = sorted({waiting.file.document.language for waiting in self._held.values()})
        is_last = not any(self._queue.depth()[:2])
        return sum(self._publish(language, is_full=is_full, is_last=is_last) for language in languages)

    def _hold(self) -> None:
        """Holds those of the files that came whom somebody wants and no gate refuses, as far as a slice of time allows."""
        until_s = time.monotonic() + self._slice_s
        for language in sorted({waiting.file.document.language for waiting in self._unjudged.values()}):
            known = self._known_files(language)
            if known.is_ready(until_s):
                found = [one for one in self._unjudged.values() if one.file.document.language == language]
                with self._queue.at_once():
                    self._judge(known, self._scorable(self._leave_out_unwanted(found)), until_s)

    def _scorable(self, found: list[Waiting]) -> list[Waiting]:
        """Those whose annotators are here; the others wait until theirs is, which is said once."""
        missing = dict[str, str]()
        for limits in {waiting.file.limits.annotator: waiting.file.limits for waiting in found}.values():
            try:
                self._floors.load(limits)
            except (CorpusError, MissingExtraError) as error:
                missing[limits.annotator] = str(error)
        for line in sorted({*missing.values()} - self._said):
            self._say(f"files wait for an annotator: {line}")
        self._said |= {*missing.values()}
        return [waiting for waiting in found if waiting.file.limits.annotator not in missing]

    def _leave_out_unwanted(self, found: list[Waiting]) -> list[Waiting]:
        """Gives files whose order is filled to another one that is not, and rejects them where there is none."""
        wanted, published = [], self._published.among(waiting.file.identity for waiting in found)
        asked = {(waiting.file.purpose, waiting.file.document.language) for waiting in found}
        filled = {one for one in asked if self._is_filled(*one)}
        for waiting in found:
            purpose, language = waiting.file.purpose, waiting.file.document.language
            if (purpose, language) in filled and waiting.file.identity not in published:
                purpose = self._other_purpose(purpose, language)
            if purpose:
                wanted.append(waiting._replace(file=msgspec.structs.replace(waiting.file, purpose=purpose)))
            else:
                self._queue.reject_file(waiting, Reason.NOT_WANTED)
                self._unjudged.pop(waiting.entry, None)
                self._known_files(waiting.file.document.language).forget({waiting.file.identity})
        return wanted

    def _is_filled(self, purpose: str, language: str) -> bool:
        """Whether an order wants no file more of a language."""
        if (order := self._orders.get(purpose)) is None:
            return False
        published = self._published.by_stream(purpose)
        return published.total() >= order.files or (
            order.language is None and self._allotments.is_used_up(order, f"{KIND}/{language}", published)
        )

    def _other_purpose(self, purpose: str, language: str) -> str:
        """An order from the same streams that still wants a file of the language; empty where there is none."""
        for other, order in self._orders.items():
            if (
                order.glob == self._orders[purpose].glob
                and order.language in (None, language)
                and not self._is_filled(other, language)
            ):
                return other
        return ""

    def _judge(self, known: KnownFiles, found: list[Waiting], until_s: float) -> None:
        """Holds the files of a language that no gate refuses; until that time where they are scored, which takes long."""
        for batch in batches(map(without_private_data, found)):
            for waiting, signed in zip(batch, known.sign([one.file.document for one in batch]), strict=True):
                twin, likeness = known.nearest(signed)
                measured: Values = {"likeness": round(likeness, 4), "max_likeness": known.rule.threshold}
                if (task := self._find_task(waiting.file.document)) is not None:
                    found_of_task: Values = {"task": task.task, "share_of_task": round(task.score, 4), "found": task.found}
                    self._queue.reject_file(waiting, Reason.CONTAMINATED, found_of_task)
                elif twin is not None:
                    self._queue.reject_file(waiting, Reason.NEAR_DUPLICATE, {"of": twin, **measured})
                elif (scored := self._floors.judge(waiting.file.document.text, waiting.file.limits)).reason is not None:
                    self._queue.reject_file(waiting, scored.reason, scored.values)
                else:
                    known.add(signed)
                    self._held[waiting.entry] = waiting._replace(file=waiting.file.measured({**measured, **scored.values}))
                del self._unjudged[waiting.entry]
                if waiting.file.limits.annotator and time.monotonic() >= until_s:
                    return

    def _find_task(self, document: Document) -> Match | None:
        """A task of the benchmarks that the corpus of this root was kept free of, if a file has one."""
        if self._contaminations is None:
            self._contaminations = contaminations(self._catalog)
        matches = (one.find(document.text, document.language) for one in self._contaminations)
        return next((match for match in matches if match is not None), None)

    def _leave_out_redacted(self) -> None:
        """Rejects the files that wait and are redacted, or whose seed document is."""
        rule = merge(self._catalog.redaction_rules())
        gone = [
            waiting
            for waiting in self._held.values()
            if rule.matches(seed_row(waiting.file)) or rule.matches(msgspec.structs.asdict(waiting.file.document))
        ]
        for waiting in gone:
            self._queue.reject_file(waiting, Reason.REDACTED)
            self._known[waiting.file.document.language].forget({waiting.file.identity})
            del self._held[waiting.entry]

    def _publish(self, language: str, *, is_full: bool, is_last: bool) -> int:
        """Publishes what of a language is due. `is_last`: no job is on its way that more could come of."""
        publisher = self._publisher(language)
        held = [waiting for waiting in self._held.values() if waiting.file.document.language == language]
        with self._queue.at_once():
            wanted = {waiting.entry: waiting for waiting in self._leave_out_unwanted(held)}
        for waiting in held:
            del self._held[waiting.entry]
        self._held |= wanted
        if not wanted:
            return 0
        held = list(wanted.values())
        waited_ms = self._queue.clock_ms() - min(waiting.came_ms for waiting in held)
        tokens = sum(len(waiting.file.document.text) for waiting in held) // CHARACTERS_A_TOKEN
        is_many = tokens * SHARE_OF_STREAM >= publisher.published.tokens or is_last
        overdue = waited_ms >= self._max_wait_ms * (1 if is_many else LONGER)
        if not (overdue or is_full or tokens >= PART_TOKENS):
            return 0
        there = publisher.published.identities.among(waiting.file.identity for waiting in held)
        new = [waiting.file.purpose for waiting in held if waiting.file.identity not in there]
        counts = publisher.published.by_purpose + Counter(new)
        most = {purpose: self._most(order, language, counts[purpose]) for purpose, order in self._orders.items()}
        done = publisher.publish([waiting.file for waiting in held], overdue=overdue, most=most)
        gone = [waiting for waiting in held if waiting.file.identity in done]
        if gone:
            self._queue.published(gone)
            for waiting in gone:
                del self._held[waiting.entry]
            self._merge(publisher.stream)
        return len({waiting.file.identity for waiting in gone})

    def _most(self, order: Order, language: str, wanted: int) -> int:
        """How many files of an order the stream of a language may have; `wanted`: how many it would have."""
        if order.language is not None:
            return order.files
        published = self._published.by_stream(order.purpose)
        return self._allotments.allot(order, f"{KIND}/{language}", wanted=wanted, published=published)

    def _merge(self, stream: str) -> None:
        """Merges the newest parts of a stream where they are many and small. That it cannot be holds up nothing."""
        try:
            merging.merge(self._catalog, stream, newest=True, least=MOST_SMALL)
        except PhasemixError as error:
            self._say(f"small parts of {stream} are not merged: {error}")

    def _publisher(self, language: str) -> Publisher:
        if language not in self._publishers:
            stream = f"{KIND}/{language}"
            create_like_the_others(self._catalog, stream)
            self._published.refresh()
            self._publishers[language] = Publisher(self._catalog, stream, self._published.of(language))
        return self._publishers[language]

    def _known_files(self, language: str) -> KnownFiles:
        if language not in self._known:
            self._catalog.store.opened.check()
            folder = Cache().folder / "signatures" / str(self._catalog.store.opened.id)
            rule = duplicates_rule(self._catalog)
            self._known[language] = KnownFiles(self._catalog, language, rule, folder, say=self._say)
        return self._known[language]


def seed_row(file: AcceptedFile) -> dict[str, str]:
    """The seed document, as rules of redaction look at a document."""
    origin = file.origin
    return {"document": origin.seed_document, "repository": origin.seed_repository, "license": origin.seed_license}


def without_private_data(waiting: Waiting) -> Waiting:
    """The file that waits, with placeholders for secrets and addresses as documents of a corpus have them."""
    document = waiting.file.document
    found = replace(document.text, Privacy())
    clean = msgspec.structs.replace(document, text=found.text, replaced=found.words or document.replaced)
    return waiting._replace(file=msgspec.structs.replace(waiting.file, document=clean))


def create_like_the_others(catalog: Catalog, stream: str) -> None:
    """Makes an empty stream with the one shape that the root's token streams have, unless it exists.

    Raises: GeneratorError when the root has no tokens yet, or several shapes.
    """
    if catalog.stream_log(stream).read():
        return
    found = [info for info in catalog.streams() if info.seq_len is not None and info.tokenizer is not None]
    shapes = sorted({(info.seq_len or 0, info.dtype or "", info.tokenizer or "") for info in found})
    if len(shapes) != 1:
        have = (
            "; ".join(f"{seq_len} x {dtype}, {tokenizer}" for seq_len, dtype, tokenizer in shapes) or "none with a tokenizer"
        )
        raise GeneratorError(
            f"the shape of stream {stream} is not clear: streams have {have}; make it with phasemix streams create {stream}"
        )
    seq_len, dtype, tokenizer = shapes[0]
    catalog.create_stream(stream, seq_len=seq_len, dtype=dtype, tokenizer=tokenizer)
