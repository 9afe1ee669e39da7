"""Writes a small catalog of the present formats and what is to be read from it: `python tests/formats/make.py NUMBER`.

What is committed stays as it is: a change of format gets the next number, and the older ones are read for ever.
"""

import base64
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from generators.planning.orders import load_orders, place_order
from mixer import Mixtures, RunEnded, RunReader, Runs
from mixer.journal.journal import Journal
from mixer.ledger.policy import Policy
from mixer.ledger.reports import Report, Reports
from mixer.planning import states
from mixer.planning.planner import make_planner
from mixer.planning.states import State, States, unsealed
from mixer.pool import pool
from mixer.runs.archive import archived_runs
from mixer.runs.evaluations import Evaluation, Measured, note_evaluation, read_evaluations
from mixer.steering.schedules import Schedule, SchedulePoint
from streamer import Catalog
from streamer.catalog.redaction import Rule, unpack
from streamer.corpus.ranking import tiers
from streamer.corpus.ranking.tiers import Ranking, rankings
from streamer.documents.document import COLUMNS, FIRST_COLUMNS, Document, document_id
from streamer.mds import layout as mds
from streamer.publishing.compacting import compact
from streamer.publishing.merging import merge
from streamer.publishing.publication import document_row
from streamer.publishing.redacting import redact, search
from streamer.scoring import trained
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives, StudentRecipe
from streamer.scoring.score_sets import Scores, load_scores, put_scores, score_sets
from streamer.scoring.sections import Sections
from streamer.scoring.student import EVERY, Agreement, Scale, Student, TokenWeights, decode_student
from streamer.scoring.students import keep_student, load_student

HERE = Path(__file__).parent
SEQ_LEN = 4
GARBAGE = "0" * 16
TOKENIZER = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
SINCE_FORKS = ("paused", "parent", "parent_step", "fork", "skipped", "policy")  # what catalog_1 does not say of its runs
MIXTURE = f"""
name = "code"
seq_len = {SEQ_LEN}
[[component]]
streams = "raw/*"
share = 1
within = {{ python = %d, go = 2, rust = 1 }}
"""
CAPPED = f"""
name = "capped"
seq_len = {SEQ_LEN}
[[component]]
name = "small"
streams = ["raw/go", "raw/rust"]
share = 1
within = "equal"
max_passes = 2
when_dry = "share"
"""
WARM = f"""
name = "warm"
seq_len = {SEQ_LEN}
[[component]]
streams = "raw/*"
share = 1
within = "temperature"
temperature = 2
"""
CURVED = f"""
name = "curved"
seq_len = {SEQ_LEN}
[[component]]
streams = "scored/*"
share = 1
curve = {{ q80 = {{ weight = 3, max_passes = 4 }}, q00 = 1 }}
"""


def numbers() -> list[int]:
    """Numbers of the committed catalogs, oldest first."""
    return sorted(int(path.name.removeprefix("catalog_")) for path in HERE.glob("catalog_*[0-9]"))


def build(root: Path) -> None:
    """The catalog: streams of every kind of entry, six runs, a pool, an order, an archive. Only ids differ."""
    catalog = Catalog(root)
    tokenizer = catalog.put_tokenizer(json.dumps(TOKENIZER))
    catalog.create_stream("raw/go", seq_len=SEQ_LEN, tokenizer=tokenizer)
    catalog.append("raw/go", rows(0, 40), seq_len=SEQ_LEN, tokenizer=tokenizer, documents=spans(40))
    catalog.append("raw/python", rows(40, 520), seq_len=SEQ_LEN, tokenizer=tokenizer)
    catalog.store.put_if_absent(f"streams/raw/go/_parts/{GARBAGE}/shard.00000.mds", b"torn")
    catalog.remove_garbage("raw/go", GARBAGE)
    with tempfile.TemporaryDirectory() as folder:
        compress(rows(560, 12), Path(folder))
        catalog.publish_directory("raw/rust", Path(folder), tokenizer=tokenizer, documents=spans(12))
    with tempfile.TemporaryDirectory() as folder:
        mds.write_rows(map(document_row, documents()), COLUMNS, Path(folder))
        catalog.publish_directory("documents/go", Path(folder))
    mixtures, runs = Mixtures(catalog), Runs(catalog)
    mixtures.apply(MIXTURE % 3)
    runs.create("first", mixture="code", seed=11, global_batch=8, canonical_nodes=2, segment_batches=16)
    read(root, "first", 40)
    catalog.append("raw/python", rows(572, 60), seq_len=SEQ_LEN, tokenizer=tokenizer)
    read(root, "first", 100)
    runs.switch("first", mixtures.apply(MIXTURE % 1))
    read(root, "first", 290)
    runs.create(
        "second", mixture="code", seed=12, global_batch=16, canonical_nodes=2, parent="first", parent_step=270, num_steps=40
    )
    read(root, "second", 40)
    runs.create("third", mixture=mixtures.apply(CAPPED), seed=13, global_batch=5, boundaries=True)
    read(root, "third", 30)
    runs.fork("first", "fourth", at_step=270, seed=14, global_batch=12, skip=3, by="ana", why="the loss rose")
    read(root, "fourth", 290)
    end = runs.show("fourth").end_step
    runs.skip("fourth", end + 5, 4, by="ana")
    runs.pause("fourth", why="lunch")
    runs.resume("fourth", by="ben")
    read(root, "fourth", end + 20)
    runs.end("fourth", by="ana", why="enough")
    runs.note("fourth", "the best so far", by="ben")
    ramp = [SchedulePoint(at=0, mixture="code@1"), SchedulePoint(at=40, mixture="warm")]
    mixtures.apply(WARM)
    runs.create("fifth", seed=15, global_batch=8, steering=Schedule(unit="steps", point=ramp, every=16))
    read(root, "fifth", 40)
    report = Report(start_step=0, end_step=40, streams=["raw/go", "raw/rust"], samples=[200, 120], loss=[2.5, None])
    Reports(catalog, "fifth").append(report)
    runs.switch("fifth", "code@2", steering=Policy(name="absent", every=64, arguments={"rate": 0.5, "word": "a"}))
    read(root, "fifth", 80)
    pool.set_wanted(catalog, 3)
    pool.set_draining(catalog)
    place_order(catalog, "documents/*", files=5, language="go")
    runs.archive("fourth", by="ana", why="done")
    runs.archive("second", by="ana")
    runs.archive("second", undo=True, by="ben", why="compared with others")
    rule = Rule(documents=(documents()[2].document,), licenses=("unknown",))
    redact(catalog, rule, list(search(catalog, rule, fill=1)), by="ana", why="its author asked", at_s=0.0)
    read(root, "fifth", 110)
    compact(catalog, "raw/rust")
    merge(catalog, "raw/python")
    for stream in ("raw/rust", "raw/python"):
        for left in catalog.garbage(stream):
            catalog.remove_garbage(stream, left)
    read(root, "fifth", 140)
    for tier, first in (("q80", 632), ("q00", 640)):
        catalog.append(f"scored/go/{tier}", rows(first, 8), seq_len=SEQ_LEN, tokenizer=tokenizer)
    runs.create("sixth", mixture=mixtures.apply(CURVED), seed=16, global_batch=4)
    read(root, "sixth", 20)
    annotate(catalog, tokenizer)
    measured = Measured(
        benchmark="HumanEvalPlus", digest="d" * 64, tasks=164, passed=9, base_passed=11, not_checked=0, too_long=1,
        bits_per_byte=0.75,
    )  # fmt: skip
    evaluation = Evaluation(
        step=40, checkpoint="c" * 64, weights="w" * 32, writer="transformers", max_new_tokens=768,
        checker={"HumanEvalPlus": "evalplus 0.3.1"}, benchmarks=[measured], by="ana", at_s=0.0,
    )  # fmt: skip
    note_evaluation(catalog, "first", evaluation)


def annotate(catalog: Catalog, tokenizer: str) -> None:
    """An annotator with a student, scores by both, and a ranking; all numbers are made up."""
    good = (Positives(files=("good/*.py",)),)
    recipe = AnnotatorRecipe(name="mine", embedder="model", positives=good, student=StudentRecipe(files=100))
    weights, seen = np.array([0.5, -1.25], "<f4"), np.array([3, 2**63 + 1], "<u8")
    body = {
        "format": trained.FORMAT, "recipe": msgspec.to_builtins(recipe), "embedder": "model", "fingerprint": "f" * 32,
        "weights": base64.b64encode(weights.tobytes()).decode(), "bias": -0.5, "good": 1, "other": 1,
        "languages": {"go": 1}, "digest": "d" * 32, "seen": base64.b64encode(seen.tobytes()).decode(), "figure": 0.75,
    }  # fmt: skip
    label = trained.keep(catalog, json.loads(json.dumps(body))).label
    agreement = Agreement(files=4, rank_correlation=0.5, kept=1.0)
    student = Student(
        sections=Sections(16, 2), pass_on=0.25, weights=np.array([1.5, 0, -2], np.float32), bias=0.125,
        tokens=TokenWeights(tokenizer=json.dumps(TOKENIZER), weights=np.array([0.25, -4], np.float32)),
        scales={name: Scale(np.array([0.0, 1]), np.array([0.25, 0.5])) for name in (EVERY, "go")},
        agreement={EVERY: agreement, "go": agreement},
    )  # fmt: skip
    keep_student(catalog, label, student)
    (part,) = catalog.stream("documents/go").parts
    ids = [one.document for one in documents()]
    found = Scores(ids, np.array([0.125, 0.75, 0.5, 0.25]), np.array([True, True, False, False]))
    put_scores(catalog, label, "documents/go", [part.part_id], found)
    extra = {"annotator": label, "build": "b" * 16, "number": 0}
    for tier, first in (("q50", 648), ("q00", 656)):
        name = f"scored@mine/go/{tier}"
        catalog.append(name, rows(first, 8), seq_len=SEQ_LEN, tokenizer=tokenizer, extra=extra)
    ranked = Ranking(
        annotator=label, kind="scored@mine", bounds=(50, 0), parts={"documents/go": (part.part_id,)}, build=extra["build"]
    )
    catalog.log("rankings/mine").append(lambda _: {"format": tiers.FORMAT, **msgspec.to_builtins(ranked)})


def rows(first: int, count: int) -> np.ndarray[Any, Any]:
    return (np.arange(first * SEQ_LEN, (first + count) * SEQ_LEN) % 60_000).astype(np.uint16).reshape(count, SEQ_LEN)


def columns_of(document: Document) -> dict[str, Any]:
    """A document's columns, without those that older formats do not have where they say nothing."""
    found = msgspec.to_builtins(document)
    silent = {"encoding": "utf-8", "flags": "", "copies": 1, "replaced": ""}
    return {name: value for name, value in found.items() if name not in silent or value != silent[name]}


def documents() -> list[Document]:
    found = []
    for number in range(4):
        text, path = f"package p{number}\n", f"p{number}.go"
        score = None if number else 2.5
        found.append(
            Document(
                text=text, path=path, repository="example", language="go", license="MIT",
                document=document_id("example", path, text), score=score,
                encoding="utf-16-le" if number == 1 else "utf-8", flags="test" if number == 3 else "",
                copies=3 if number == 0 else 1, replaced="key=1 email=2" if number == 1 else "",
            )
        )  # fmt: skip
    return found


def spans(samples: int) -> list[dict[str, Any]]:
    """Two documents of uneven length in each sample."""
    own, found = documents(), []
    for sample in range(samples):
        cut = 1 + sample % (SEQ_LEN - 1)
        for start, end, document in ((0, cut, own[sample % 4]), (cut, SEQ_LEN, own[(sample + 1) % 4])):
            row = {name: getattr(document, name) for name in FIRST_COLUMNS if name != "text"}
            found.append({"sample": sample, "start": start, "end": end, **row})
    return found


def compress(table: np.ndarray[Any, Any], folder: Path) -> None:
    """A folder of one zstd shard, as stock MDSWriter lists it."""
    mds.write_shards(table, folder)
    index = json.loads((folder / "index.json").read_text())
    for shard in index["shards"]:
        plain, path = folder / shard["raw_data"]["basename"], folder / f"{shard['raw_data']['basename']}.zstd"
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(plain.read_bytes())
        plain.unlink()
        shard["compression"] = "zstd:3"
        shard["zip_data"] = {"basename": path.name, "bytes": path.stat().st_size, "hashes": {}}
    (folder / "index.json").write_text(json.dumps(index))


def read(root: Path, run: str, steps: int) -> None:
    """Reads a run up to a step, or to its end."""
    with RunReader(root, run) as reader:
        try:
            step = -1
            while (step := reader.next_step(step + 1)) < steps:
                reader.read(step)
        except RunEnded:
            return


def describe(root: Path) -> dict[str, Any]:
    """What is read from a catalog, as JSON; nothing is written to it."""
    catalog = Catalog(root)
    archived = sorted(archived_runs(catalog))
    return {
        **({"archived": archived} if archived else {}),  # since catalog_3
        **({"annotators": describe_annotators(catalog)} if catalog.names("annotators") else {}),  # since catalog_10
        **({"evaluations": msgspec.to_builtins(evaluated)} if (evaluated := read_evaluations(catalog, "first")) else {}),
        "streams": msgspec.to_builtins(catalog.streams()),
        "documents": [columns_of(document) for document in catalog.documents("documents/go")],
        "mixtures": [
            [reference, msgspec.to_builtins(mixture)]
            for name, versions in Mixtures(catalog).list()
            for reference, mixture in (Mixtures(catalog).load(f"{name}@{number}") for number in range(1, versions + 1))
        ],
        "runs": {name: describe_run(root, catalog, name) for name in catalog.names("runs")},
        "pool": [pool.wanted(catalog), pool.draining(catalog)],
        "orders": msgspec.to_builtins(load_orders(catalog)),
    }


def describe_annotators(catalog: Catalog) -> list[dict[str, Any]]:
    """The versions, each with its student, the scores and the ranking by it."""
    found = []
    for one in trained.versions(catalog):
        plain = [one, load_student(catalog, one.label), rankings(catalog.log(f"rankings/{one.name}").read())]
        scores = {stream: load_scores(catalog, one.label, stream) for stream in ("documents/go",)}
        kept = [msgspec.structs.replace(kept, xxh3="") for kept in score_sets(catalog, one.label)]
        told = msgspec.json.decode(msgspec.json.encode([*plain, scores, kept], enc_hook=lambda array: array.tolist()))
        found.append(dict(zip(("version", "student", "rankings", "scores", "sets"), told, strict=True)))
    return found


def describe_run(root: Path, catalog: Catalog, run: str) -> dict[str, Any]:
    ledger = Journal(catalog, run).ledger
    found = Runs(catalog).show(run)
    said = msgspec.json.decode(msgspec.json.encode(found))
    del said["state"]  # made of the rest, and said since catalog_3
    info = {key: value for key, value in said.items() if key not in SINCE_FORKS or found.fork}
    with RunReader(root, run, read_only=True) as reader:
        batches = []
        for step in (step for stretch in ledger.skips.handed_out(0, ledger.end) for step in range(*stretch)):
            batch = reader.read(step)
            lengths = b"" if batch.boundaries is None else batch.boundaries.tobytes()
            batches.append(xxhash.xxh3_64_hexdigest(batch.tokens.tobytes() + batch.origin.tobytes() + lengths))
    planner = make_planner(ledger, catalog, run, write=False)
    states = {str(step): as_json(planner.state(step)) for step in (256, 512) if ledger.begin < step <= ledger.end}
    return {"info": info, "ledger": ledger.digest(ledger.end), "batches": batches, "states": states}


def load_state(catalog: Catalog, run: str, step: int) -> dict[str, Any] | None:
    """A kept state as JSON; None where there is none that can be used."""
    found = States(catalog.store, run, Journal(catalog, run).ledger, write=False).load(step)
    return None if found is None else as_json(found)


def as_json(state: State) -> dict[str, Any]:
    lanes = sorted([*key, number, given.tolist()] for key, (number, given) in state.lanes.items())
    return {"step": state.step, "credits": state.credits.tolist(), "drawn": state.drawn.tolist(), "lanes": lanes}


def contents(root: Path) -> dict[str, Any]:
    """Every object under a root by its key, as values; what is random, of a clock or of a compressor is masked.

    Without the root's identity, which is random, and which roots of the first versions do not have.
    """
    names = part_names(root)

    def mask(text: str) -> str:
        return re.sub("|".join(names), lambda found: names[found[0]], text)

    paths = sorted(
        (path for path in root.rglob("*") if path.is_file() and path.parent.name != "identity"),
        key=lambda path: mask(str(path)),
    )
    return {mask(path.relative_to(root).as_posix()): content(path, mask) for path in paths}


def part_names(root: Path) -> dict[str, str]:
    """Part ids and names of their folders, each with a name after its stream and its place there."""
    catalog, found = Catalog(root), {}
    for name in catalog.names("streams"):
        for part in catalog.stream(name).parts:
            place = part.folder.rpartition("/")[2]
            found[place] = f"place-{part.number}-of-{name}"
            found[part.part_id] = f"part-{part.number}-of-{name}"
    for one in trained.versions(catalog):
        found |= {kept.xxh3: f"scores-{number}" for number, kept in enumerate(score_sets(catalog, one.label))}
    return found


def content(path: Path, mask: Any) -> Any:
    data = path.read_bytes()
    if path.parent.name == "states":
        kept = msgspec.msgpack.decode(unsealed(data) or b"")
        return without_digests({**kept, **{key: states.unpack(kept[key]).tolist() for key in ("drawn", "lanes")}})
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return [
            str(table.schema),
            {str(key): str(value) for key, value in (table.schema.metadata or {}).items()},
            table.to_pylist(),
        ]
    if path.suffix == ".zstd":
        return xxhash.xxh3_64_hexdigest(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    if path.suffix == ".mds":
        return xxhash.xxh3_64_hexdigest(data)
    if path.parent.parent.parent.name == "students":
        return msgspec.to_builtins(decode_student(data), enc_hook=lambda array: array.tolist())
    value = json.loads(mask(data.decode()))
    if path.suffix != ".json":
        value |= {"append_id": "", "written_at_s": 0, **{key: "" for key in ("previous", "base", "seal") if key in value}}
        mask_compressed([value["body"], *value.get("before", [])])
    elif "shards" in value:
        for shard in value["shards"]:
            if shard["compression"]:
                shard["zip_data"] = shard["zip_data"]["basename"]
    return without_digests(value)


def without_digests(value: Any) -> Any:
    """The same without what is a digest of part ids, which are random."""
    if isinstance(value, list):
        return [without_digests(one) for one in value]
    if not isinstance(value, dict):
        return value
    hidden = {"ledger": "", "parts": ""}
    masked = {key: hidden.get(key, without_digests(one)) for key, one in value.items() if key != "at_s"}
    if value.get("event") == "segment":
        masked["joins"] = [[*join[:4], ""] for join in value.get("joins", [])]
    return masked


def mask_compressed(bodies: list[dict[str, Any]]) -> None:
    for body in bodies:
        shards = body.get("shards", {})
        if "compression" in shards:
            shards["size_bytes"] = shards["xxh3"] = None
        if isinstance(body.get("files"), dict):
            body["files"] = body["files"]["name"]
        if body.get("event") == "redacted" and "spans" in body:
            body["spans"] = {part: unpack(text).tolist() for part, text in body["spans"].items()}


def main() -> None:
    root, expected = HERE / f"catalog_{sys.argv[1]}", HERE / f"catalog_{sys.argv[1]}.json"
    if root.exists():
        sys.exit(f"{root} exists; what is committed stays as it is: take the next number")
    build(root)
    expected.write_text(json.dumps(describe(root), indent=1) + "\n")


if __name__ == "__main__":
    main()
