"""The floor of quality: a file below the score that its recipe asks for is refused with what it scored."""

from pathlib import Path

import msgspec
import pytest

from deploy.command_line import main
from generators.errors import RecipeError
from generators.planning.orders import place_order
from generators.planning.planner import Planner
from generators.publishing.published_files import find_file
from generators.publishing.publishing import Publishing
from generators.queue.job import Reason, accepted_file
from generators.queue.memory_job_queue import MemoryJobQueue
from generators.recipes.recipe import add_recipe, load_recipe, parse_recipe, set_shares
from streamer import Catalog
from streamer.errors import CorpusError
from streamer.scoring.annotator import annotate, embed_files, load, load_embedder, load_scorer, save, score_texts

RECIPE = """name = "mine"
version = 1
prompt = "{{language}} {{seed}} {{variation}}"
[gates]
annotator = "{path}"
least_score = {least}
"""


def good(number: int) -> str:
    return f'def area_{number}(width: int, height: int) -> int:\n    """The area."""\n    return width * height * {number}\n'


def bad(number: int) -> str:
    return f"x{number}=[];y{number}=lambda q:q;z{number}=y{number}(x{number});w{number}=z{number}or{{}};exec('w{number}')\n"


@pytest.fixture
def annotator(tmp_path: Path) -> Path:
    """One that was trained to tell the two kinds of texts above, with word counts in place of a model."""
    embed, model = load_embedder("ngrams", section_tokens=64)
    texts = [*map(good, range(20)), *map(bad, range(20))]
    features = embed_files(texts, embed, section_tokens=64)
    path = tmp_path / "annotator.json"
    save(annotate(features, 20, model=model, section_tokens=64).annotator, path)
    return path


def deliver(catalog: Catalog, queue: MemoryJobQueue, *texts: str) -> list[str]:
    """Has these texts written by the root's recipes; their identities."""
    place_order(catalog, "scored/*", files=len(texts))
    assert Planner(catalog, queue, model=lambda: "m", say=print).tick() == len(texts)
    claims = queue.claim("w", count=len(texts), silent_ms=10_000)
    for claim, text in zip(claims, texts, strict=True):
        queue.deliver(claim, accepted_file(claim.job, text))
    return [claim.job.identity for claim in claims]


def use(catalog: Catalog, path: Path, *, least: float = 0.5) -> None:
    add_recipe(catalog, parse_recipe(RECIPE.format(path=path, least=least), name="mine.toml"))
    set_shares(catalog, {"oss-instruct-file": 0})


def test_a_file_below_the_floor_is_refused_with_its_score_and_others_keep_theirs(seeded: Catalog, annotator: Path) -> None:
    use(seeded, annotator)
    queue = MemoryJobQueue()
    first, second = deliver(seeded, queue, good(77), bad(77))
    assert Publishing(seeded, queue, max_wait_s=0).tick() == 1
    (refused,) = queue.rejected_files()
    expected = [round(load_scorer(annotator)(text), 4) for text in (good(77), bad(77))]
    assert (refused.id, refused.reason) == (second, Reason.LOW_SCORE)
    assert refused.values == {"score": expected[1], "least_score": 0.5}
    values = find_file(seeded, first)["origin"]["values"]
    assert (values["score"], values["least_score"]) == (expected[0], 0.5)
    assert expected[1] < 0.5 < expected[0]


def test_files_wait_for_an_annotator_that_is_not_here_and_others_are_published(seeded: Catalog, annotator: Path) -> None:
    queue, said = MemoryJobQueue(), list[str]()
    publishing = Publishing(seeded, queue, max_wait_s=0, say=said.append)
    hidden = annotator.rename(annotator.with_suffix(".hidden"))
    use(seeded, annotator)
    scored = deliver(seeded, queue, good(5))
    set_shares(seeded, {"oss-instruct-file": 1, "mine": 0})
    deliver(seeded, queue, "def other(value):\n    return [value] * 3\n")
    assert [publishing.tick() for _ in range(3)] == [1, 0, 0]
    assert [str(annotator) in line and "cannot be read" in line for line in said] == [True]
    hidden.rename(annotator)
    assert publishing.tick() == 1
    assert find_file(seeded, scored[0])["origin"]["values"]["least_score"] == 0.5
    assert not queue.rejections()


def test_scoring_takes_a_slice_of_a_tick_and_goes_on_in_the_next(seeded: Catalog, annotator: Path) -> None:
    use(seeded, annotator, least=1.0)
    queue = MemoryJobQueue()
    deliver(seeded, queue, *(f"{good(number)}\n{bad(number * 7)}\nTABLE_{number} = {number}\n" for number in (3, 14, 159)))
    publishing = Publishing(seeded, queue, max_wait_s=10**6, slice_s=0.0)
    judged = []
    for _ in range(3):
        publishing.tick()
        judged.append(len(queue.rejected_files()))
    assert judged == [1, 2, 3]


def test_a_text_alone_scores_as_it_does_among_others(annotator: Path) -> None:
    texts = [good(1), bad(1), good(2)]
    assert list(map(load_scorer(annotator), texts)) == pytest.approx(score_texts(load(annotator), texts).tolist())


def test_a_floor_that_cannot_be_used_is_refused_with_the_recipe(tmp_path: Path, annotator: Path) -> None:
    path = tmp_path / "mine.toml"
    for gates, said in (
        ("least_score = 0.3", "mine.toml:4: gates: a floor needs both least_score, above 0, and the annotator"),
        (f'annotator = "{annotator}"', "a floor needs both"),
        ('annotator = "a.json"\nleast_score = 0.3', "gates.annotator = 'a.json': it must be the absolute path of a file"),
        (f'annotator = "{annotator}"\nleast_score = 3', "gates.least_score = 3: it must be a number from 0 to 1"),
        ("[gates.sql]\nleast_score = 0.3", "mine.toml:5: gates.sql: a floor needs both"),
    ):
        path.write_text('name = "mine"\nversion = 1\nprompt = "{language} {seed} {variation}"\n[gates]\n' + gates)
        with pytest.raises(RecipeError, match=said.replace("[", r"\[")):
            load_recipe(path)
    path.write_text(RECIPE.format(path=annotator, least=0.3))
    assert load_recipe(path).limits("sql").least_score == 0.3
    annotator.write_text("{}")
    with pytest.raises(CorpusError, match=r"annotator .*annotator.json cannot be read"):
        load_recipe(path)


def test_an_annotator_of_another_model_is_refused_by_name(annotator: Path) -> None:
    save(msgspec.structs.replace(load(annotator), weights=[0.5] * 384), annotator)
    with pytest.raises(CorpusError, match="model ngrams gives 65536 numbers and the annotator weighs 384; train it again"):
        load_scorer(annotator)


def test_a_recipe_with_a_missing_annotator_is_refused_by_command(
    seeded: Catalog, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.format(path=tmp_path / "missing.json", least=0.3))
    assert main(["generators", "recipes", "--root", str(root), "--add", str(path)]) == 2
    assert "missing.json cannot be read" in capsys.readouterr().err
