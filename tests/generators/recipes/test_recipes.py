"""Recipes: what they must say, how a root keeps them, how they share the files, and the commands about them."""

import json
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command_line import main
from generators.errors import RecipeError
from generators.planning.seed_documents import MOST_CHARACTERS, SeedDocument, passages
from generators.publishing.publisher import Publisher
from generators.queue.job import Completion, Job, Origin, accepted_file
from generators.recipes.limits import Limits
from generators.recipes.recipe import (
    Recipe,
    Sampling,
    add_recipe,
    built_in,
    parse_recipe,
    recipes_of,
    set_shares,
    split,
    write_prompt,
)
from streamer import Catalog
from streamer.catalog.redaction import Rule
from streamer.publishing.card import Origins, card_of
from streamer.publishing.compacting import compact
from streamer.publishing.redacting import redact

PROMPT = "{language} {seed} {variation}"
WHOLE = f'name = "x"\nversion = 1\nprompt = "{PROMPT}"\n'
STDLIB = Path(sysconfig.get_path("stdlib"))


def recipe(name: str = "mine", **words: object) -> Recipe:
    return Recipe(**{"name": name, "version": 1, "prompt": PROMPT, **words})  # type: ignore[arg-type]


def test_the_recipes_that_come_along_are_whole_and_one_of_them_writes() -> None:
    found = {one.name: one for one in built_in()}
    assert sorted(found) == ["explain-in-code", "oss-instruct-file", "rewrite"]
    assert [name for name, one in found.items() if one.share] == ["oss-instruct-file"]
    for one in found.values():
        said = write_prompt(one.prompt, language="rust", seed="SEED", variation=4)
        assert "Seed file (rust):\n```\nSEED\n```\n" in said
        assert "variation 4" in said
        assert "{" not in said


@given(seed=st.text(max_size=60))
def test_nothing_that_a_seed_says_is_taken_for_a_place_of_the_prompt(seed: str) -> None:
    odd = f"{seed}{{seed}} {{language}} {{variation}}"
    assert write_prompt("a {seed} b {language} {variation}", language="go", seed=odd, variation=2) == f"a {odd} b go 2\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\nversion = 1\nprompt = "{seed}"', r"prompt of recipe x has no \{language\} and no \{variation\}"),
        ('name = "X"\nversion = 1\nprompt = ""', "name"),
        ('name = "x"\nversion = 0\nprompt = ""', "version"),
        ('name = "x"\nversion = 1\nprompts = ""', "recipe x.toml:3: the recipe has no key 'prompts'.*did you mean 'prompt'"),
        ('name = "x"\nversion = 1\nprompt = "{seed}{language}{variation}"\n[sampling]\ntemperature = 9', "temperature"),
        ('name = "x"\nversion = 1\nprompt = "{seed}{language}{variation}"\nmost_per_seed = 0', "most_per_seed"),
        (f"{WHOLE}[gates]\nmin_codesize = 3", "x.toml:5: gates has no key 'min_codesize'.*did you mean 'min_code_size'"),
        (f"{WHOLE}[gates]\nmin_code_share = 1.5", "x.toml:5: gates.min_code_share = 1.5: it must be a number from 0 to 1"),
        (f"{WHOLE}[gates]\nmax_stub_share = nan", "x.toml:5: gates.max_stub_share = nan: it must be a number from 0 to 1"),
        (f"{WHOLE}[gates.sql]\nmin_code_size = -1", "x.toml:5: gates.sql.min_code_size = -1: it must be an integer from 0"),
        (f"{WHOLE}[gates.sql]\nsize = 1", "x.toml:5: gates.sql has no key 'size'; its keys are max_bytes_per_token"),
        (f"{WHOLE}[gates.pythn]\nmin_code_size = 1", "x.toml:4: gates has no key 'pythn'.*did you mean 'python'"),
        (f"{WHOLE}[gates]\npython = 3", r"x.toml:5: gates.python = 3: it must be a table .* write \[gates.python\]"),
        (f"{WHOLE}gates = 3", "x.toml:4: gates = 3"),
        ("name = ", "line 1"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_by_its_key(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe(text, name="recipe x.toml")


def test_a_root_keeps_what_a_version_says_for_ever(root: Path) -> None:
    catalog = Catalog(root)
    assert add_recipe(catalog, recipe())
    assert not add_recipe(catalog, recipe())
    with pytest.raises(RecipeError, match=r"recipe mine/1 of root .* says something else; raise its version"):
        add_recipe(catalog, recipe(prompt=PROMPT + "!"))
    assert add_recipe(catalog, recipe(version=2, prompt=PROMPT + "!"))
    for changed in ({"sampling": Sampling(temperature=0.1)}, {"gates": {"sql": {"min_code_size": 3}}}):
        with pytest.raises(RecipeError, match="says something else"):
            add_recipe(catalog, recipe(**changed))
    assert {one.label for one in recipes_of(Catalog(root))} == {
        "explain-in-code/1", "oss-instruct-file/1", "rewrite/2", "mine/2",
    }  # fmt: skip


def test_the_limits_of_a_language_are_laid_over_those_of_the_recipe(root: Path) -> None:
    text = f"{WHOLE}[gates]\nmin_code_size = 40\nmin_code_share = 0.1\n[gates.sql]\nmin_code_size = 16\n"
    add_recipe(Catalog(root), parse_recipe(text, name="x"))
    kept = next(one for one in recipes_of(Catalog(root)) if one.name == "x")
    assert kept.limits("python") == Limits(min_code_size=40, min_code_share=0.1)
    assert kept.limits("sql") == Limits(min_code_share=0.1)
    assert recipe().limits("sql") == Limits()


def test_shares_are_set_by_name_and_one_recipe_must_write(root: Path) -> None:
    catalog = Catalog(root)
    found = {one.name: one.share for one in set_shares(catalog, {"rewrite": 0.25, "oss-instruct-file": 0.75})}
    assert found == {"explain-in-code": 0, "oss-instruct-file": 0.75, "rewrite": 0.25}
    with pytest.raises(RecipeError, match="recipe rewrit is unknown; .*did you mean 'rewrite'"):
        set_shares(catalog, {"rewrit": 1})
    with pytest.raises(RecipeError, match="is not in 0"):
        set_shares(catalog, {"rewrite": -1})
    with pytest.raises(RecipeError, match="every recipe would have share 0"):
        set_shares(catalog, {"rewrite": 0, "oss-instruct-file": 0})
    add_recipe(catalog, recipe(share=1.0))
    set_shares(catalog, {"rewrite": 0, "oss-instruct-file": 0})
    with pytest.raises(RecipeError, match="every recipe would have share 0"):
        add_recipe(catalog, recipe(version=2, share=0.0))
    set_shares(catalog, {**found, "mine": 0})
    assert {one.name: one.share for one in recipes_of(catalog)} == {**found, "mine": 0}


@given(
    shares=st.lists(st.floats(0.01, 10), min_size=1, max_size=5),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=12),
)
def test_files_are_shared_as_recipes_say_however_they_are_asked_for(shares: list[float], counts: list[int]) -> None:
    recipes = [recipe(f"r{number}", share=share) for number, share in enumerate(shares)]
    written: Counter[str] = Counter()
    for count in counts:
        found = split(count, recipes, written=written)
        assert sum(files for _, files in found) == count
        for one, files in found:
            written[one.label] += files
    for one in recipes:
        wanted = sum(counts) * one.share / sum(shares)
        assert abs(written[one.label] - wanted) < len(recipes) + 1


@pytest.mark.parametrize("name", ["heapq", "argparse", "typing", "ast"])
def test_a_seed_is_cut_between_functions_and_classes_and_each_passage_comes_in_turn(name: str) -> None:
    text = (STDLIB / f"{name}.py").read_text()[:MOST_CHARACTERS]
    found = passages(text, "python", 3000)
    assert all(len(passage) <= 3000 for passage in found)
    assert all(passage in text and passage.endswith("\n") for passage in found[:-1])
    whole = [passage for passage in found if len(passage) < 2500]
    assert all(text.index(passage) == 0 or text[text.index(passage) - 1] == "\n" for passage in whole)
    seed = SeedDocument("python", "s", text, "r", "MIT")
    assert [seed.passage(number, 3000) for number in range(len(found) + 1)] == [*found, found[0]]
    assert passages("x = 1\n", "python", 3000) == ["x = 1\n"]
    assert passages("x" * 5000, "python", 3000) == ["x" * 3000]
    assert passages("\n" * 5000, "python", 3000) == ["\n" * 3000]
    assert passages("word\n" * 1000, "esperanto", 3000) == ["word\n" * 600]  # a language that has no parser


def origin_file(seeded: Catalog) -> str:
    job = Job(
        language="python",
        seed_document="seed",
        recipe="mine/2",
        model="m",
        index=3,
        text="",
        purpose="order/0",
        repository="someone/tools",
        license="MIT",
        sampling=Sampling(temperature=0.2),
    )
    completion = Completion(
        text="", finish_reason="stop", tokens=21, prompt_tokens=9, prompt="p" * 32, engine="http://e/v1", asked_at_s=1.5
    )
    seeded.create_stream("synthetic/python", seq_len=64, tokenizer=seeded.stream("scored/python/q50").tokenizer)
    file = accepted_file(
        job, "def double(value):\n    return value * 2\n", completion, values={"code_size": 40, "min_code_size": 16}
    )
    Publisher(seeded, "synthetic/python").publish([file], overdue=True)
    return job.identity


def test_a_published_file_is_shown_with_all_that_it_came_from(
    seeded: Catalog, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = origin_file(seeded)
    assert main(["generators", "show", identity, "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"].startswith("def double")
    assert (found["stream"], found["path"]) == ("synthetic/python", "mine/2/seed/3")
    origin = Origin(**{**found["origin"], "sampling": Sampling(**found["origin"]["sampling"])})
    assert origin == Origin(
        seed_document="seed", seed_repository="someone/tools", seed_license="MIT", recipe="mine/2", index=3, prompt="p" * 32,
        model="m", engine="http://e/v1", sampling=Sampling(temperature=0.2), prompt_tokens=9, tokens=21, asked_at_s=1.5,
        values={"code_size": 40, "min_code_size": 16},
    )  # fmt: skip
    assert main(["generators", "show", identity, "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert "someone/tools" in said
    assert "measured         code_size 40 (at least 16)\n" in said
    assert main(["generators", "show", "nothing", "--root", str(root)]) == 2
    assert "has file nothing" in capsys.readouterr().err


def test_recipes_are_listed_added_and_shared_by_command(
    seeded: Catalog, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nversion = 1\nshare = 0\nprompt = "{language} {seed} {variation}"\n'
        "[gates]\nmin_code_size = 40\n[gates.sql]\nmin_code_size = 8\n"
    )
    words = ["generators", "recipes", "--root", str(root), "--json"]
    assert main([*words, "--add", str(tmp_path / "mine.toml"), "--share", "mine=3"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = {row["recipe"]: row["share"] for row in rows}
    assert found == {"explain-in-code": 0, "mine": 0.75, "oss-instruct-file": 0.25, "rewrite": 0}
    assert {row["recipe"]: row["gates"] for row in rows if row["gates"]} == {
        "mine": {"min_code_size": 40, "sql": {"min_code_size": 8}}
    }
    assert main(words[:-1]) == 0
    assert "min_code_size=40, sql: min_code_size=8" in capsys.readouterr().out
    for wrong in (["--share", "mine"], ["--share", "mine=much"], ["--share", "other=1"], ["--add", "missing.toml"]):
        assert main([*words, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_stream_s_card_says_whose_it_is_and_how_its_files_came_to_be(
    seeded: Catalog, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin_file(seeded)
    card = card_of(seeded, "synthetic/python")
    assert (card.documents, card.licenses, card.origins is not None) == (1, {"synthetic": 1}, True)
    assert card.origins == Origins(
        recipes={"mine/2": 1}, models={"m": 1}, seed_licenses={"MIT": 1}, seed_repositories=1, prompt_tokens=9,
        written_tokens=21,
    )  # fmt: skip
    for name in ("documents/python", "scored/python/q50"):
        card = card_of(seeded, name)
        assert (card.licenses, card.largest_repositories) == ({"PSF-2.0": card.documents}, {"stdlib": card.documents})
        assert card.origins is None
    half = card_of(seeded, "scored/python/q50").documents
    assert (half, card_of(seeded, "documents/python").documents) == (5, 10)
    best = max(seeded.documents("documents/python"), key=lambda document: document.score or 0)
    redact(seeded, Rule(documents=(best.document,)), [], by=None, why=None, at_s=0.0)
    compact(seeded, "documents/python")
    for name, documents in (("documents/python", 9), ("scored/python/q50", 4)):
        card = card_of(seeded, name)
        assert (card.documents, card.redacted_documents) == (documents, 1)
    assert main(["streams", "card", "synthetic/python", "--root", str(root)]) == 0
    assert "seed licenses" in capsys.readouterr().out
    assert main(["streams", "card", "synthetic/python", "--root", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["origins"]["recipes"] == {"mine/2": 1}


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_redacted_file_is_neither_shown_nor_on_the_card(
    seeded: Catalog, root: Path, capsys: pytest.CaptureFixture[str], is_compacted: bool
) -> None:
    identity = origin_file(seeded)
    redact(seeded, Rule(documents=(identity,)), [], by=None, why=None, at_s=0.0)
    if is_compacted:
        compact(seeded, "synthetic/python")
    assert main(["generators", "show", identity, "--root", str(root)]) == 2
    assert f"file {identity} of synthetic/python was redacted" in capsys.readouterr().err
    card = card_of(seeded, "synthetic/python")
    assert (card.documents, card.redacted_documents, card.origins) == (0, 1, None)
