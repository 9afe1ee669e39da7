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
from generators.recipes.limits import Limits
from generators.recipes.recipe import add_recipe, parse_recipe, set_shares
from streamer import Catalog
from streamer.errors import CorpusError
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives
from streamer.scoring.trained import gather, load, load_scorer, score, train

RECIPE = """name = "mine"
version = 1
prompt = "{{language}} {{seed}} {{variation}}"
[gates]
annotator = "kept@1"
least_score = {least}
"""


def good(number: int) -> str:
    return f'def area_{number}(width: int, height: int) -> int:\n    """The area."""\n    return width * height * {number}\n'


def bad(number: int) -> str:
    return f"x{number}=[];y{number}=lambda q:q;z{number}=y{number}(x{number});w{number}=z{number}or{{}};exec('w{number}')\n"


@pytest.fixture
def annotator(tmp_path: Path) -> AnnotatorRecipe:
    """One that takes what `good` writes for good, with word counts in place of a model."""
    (tmp_path / "good").mkdir()
    for number in range(20):
        (tmp_path / "good" / f"{number}.py").write_text(good(number))
    kind = Positives(files=(f"{tmp_path}/good/*.py",))
    return AnnotatorRecipe(name="kept", embedder="ngrams", section_tokens=64, positives=(kind,))


def make(catalog: Catalog, annotator: AnnotatorRecipe) -> None:
    assert train(catalog, annotator, gather(catalog, annotator)).label == "kept@1"


def use(catalog: Catalog, *, least: float) -> None:
    add_recipe(catalog, parse_recipe(RECIPE.format(least=least), name="mine.toml"))
    set_shares(catalog, {"oss-instruct-file": 0})


def deliver(catalog: Catalog, queue: MemoryJobQueue, *texts: str, limits: Limits | None = None) -> list[str]:
    """Has these texts written by the root's recipes, or with other limits than theirs; their identities."""
    place_order(catalog, "scored/*", files=len(texts))
    assert Planner(catalog, queue, model=lambda: "m", say=print).tick() == len(texts)
    claims = queue.claim("w", count=len(texts), silent_ms=10_000)
    for claim, text in zip(claims, texts, strict=True):
        job = msgspec.structs.replace(claim.job, limits=limits or claim.job.limits)
        queue.deliver(claim, accepted_file(job, text))
    return [claim.job.identity for claim in claims]


def test_a_file_below_the_floor_is_refused_with_its_score_and_others_keep_theirs(
    seeded: Catalog, annotator: AnnotatorRecipe
) -> None:
    make(seeded, annotator)
    use(seeded, least=0.5)
    queue = MemoryJobQueue()
    first, second = deliver(seeded, queue, good(77), bad(77))
    assert Publishing(seeded, queue, max_wait_s=0, slice_s=600.0).tick() == 1
    (refused,) = queue.rejected_files()
    expected = [round(float(one), 4) for one in score(load(seeded, "kept@1"), [good(77), bad(77)])]
    assert (refused.id, refused.reason) == (second, Reason.LOW_SCORE)
    assert refused.values == {"score": expected[1], "least_score": 0.5}
    values = find_file(seeded, first)["origin"]["values"]
    assert (values["score"], values["least_score"]) == (expected[0], 0.5)
    assert expected[1] < 0.5 < expected[0]


def test_files_wait_for_an_annotator_that_cannot_be_loaded_and_others_are_published(
    seeded: Catalog, annotator: AnnotatorRecipe
) -> None:
    queue, said = MemoryJobQueue(), list[str]()
    publishing = Publishing(seeded, queue, max_wait_s=0, slice_s=600.0, say=said.append)
    floor = Limits(annotator="kept@1", least_score=0.01)
    (scored,) = deliver(seeded, queue, good(5), limits=floor)
    deliver(seeded, queue, "def other(value):\n    return [value] * 3\n")
    assert [publishing.tick() for _ in range(3)] == [1, 0, 0]
    assert [line.partition(";")[0] for line in said] == ["files wait for an annotator: annotator kept@1 is unknown"]
    make(seeded, annotator)
    assert publishing.tick() == 1
    assert find_file(seeded, scored)["origin"]["values"]["least_score"] == 0.01
    assert not queue.rejections()


def test_scoring_takes_a_slice_of_a_tick_and_goes_on_in_the_next(seeded: Catalog, annotator: AnnotatorRecipe) -> None:
    make(seeded, annotator)
    use(seeded, least=1.0)
    queue = MemoryJobQueue()
    deliver(seeded, queue, *(f"{good(number)}\n{bad(number * 7)}\nTABLE_{number} = {number}\n" for number in (3, 14, 159)))
    publishing = Publishing(seeded, queue, max_wait_s=10**6, slice_s=0.0)
    judged = []
    for _ in range(3):
        publishing.tick()
        judged.append(len(queue.rejected_files()))
    assert judged == [1, 2, 3]


def test_a_text_alone_scores_as_it_does_among_others(seeded: Catalog, annotator: AnnotatorRecipe) -> None:
    make(seeded, annotator)
    texts = [good(1), bad(1), good(2)]
    assert list(map(load_scorer(seeded, "kept@1"), texts)) == pytest.approx(score(load(seeded, "kept@1"), texts).tolist())


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ("least_score = 0.3", "mine.toml:4: gates: a floor needs both least_score, above 0, and the annotator"),
        ('annotator = "kept@1"', "a floor needs both"),
        ('annotator = "kept"\nleast_score = 0.3', "gates.annotator = 'kept': it must be a version of an annotator"),
        ('annotator = "kept@1"\nleast_score = -3', "gates.least_score = -3: it must be a number from 0 to 1,000"),
        ("[gates.sql]\nleast_score = 0.3", "mine.toml:5: gates.sql: a floor needs both"),
    ],
)
def test_a_floor_that_cannot_be_used_is_refused_with_the_recipe(gates: str, said: str) -> None:
    text = 'name = "mine"\nversion = 1\nprompt = "{language} {seed} {variation}"\n[gates]\n' + gates
    with pytest.raises(RecipeError) as found:
        parse_recipe(text, name="mine.toml")
    assert said in str(found.value)


def test_a_recipe_with_an_annotator_that_the_root_lacks_is_refused(
    seeded: Catalog, root: Path, tmp_path: Path, annotator: AnnotatorRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.format(least=0.3))
    words = ["generators", "recipes", "--root", str(root), "--add", str(path)]
    assert main(words) == 2
    assert "annotator kept@1 is unknown" in capsys.readouterr().err
    with pytest.raises(CorpusError, match="is unknown"):
        load_scorer(seeded, "kept@1")
    make(seeded, annotator)
    assert main(words) == 0
    assert "annotator=kept@1, least_score=0.3" in capsys.readouterr().out
