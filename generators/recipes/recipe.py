"""A recipe: the prompt of a kind of synthetic file, with its sampling, its budgets and its share of what is wanted.

Always holds: a recipe is known by its name and version, which are part of a job's identity, and what a version says never
changes under a root; recipes come with the package, and others are added to a root by one file each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec

from generators.errors import RecipeError
from generators.recipes.limits import Limits, check_gates, limits_of
from mixer.faults import Fault, check, dotted
from mixer.mixture.places import line_of
from streamer.catalog.catalog import Catalog
from streamer.documents.languages import LANGUAGES
from streamer.documents.toml_text import parse_toml, read_text
from streamer.errors import TomlError
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body
from streamer.wording import did_you_mean

LOG, FORMAT = "recipes/generators", "recipe/1"
PLACES = ("{language}", "{seed}", "{variation}")  # what a prompt may name

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an engine chooses tokens.

    Attributes:
        temperature: Higher values make likely tokens less certain.
        top_p: Tokens are chosen among the most likely ones that together have this probability.
        max_tokens: How many tokens an answer may have. A longer one is `cut_off`.
        thinking: Whether a model that can think before it answers may do so (`enable_thinking` of its chat template). Unset,
            the model does as it is used to.
    """

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.8
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, msgspec.Meta(ge=16, le=1 << 20)] = 2048
    thinking: bool | None = None


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of synthetic file.

    Attributes:
        name: What it is called.
        version: A number that is raised whenever the prompt or anything else that decides the answers changes.
        prompt: What the engine is asked, with `{language}`, `{seed}` and `{variation}`, which counts the files of one seed.
        share: Which share of the wanted tokens it writes, beside the shares of the others. With 0 it writes none.
        seeds: The streams whose documents are its seeds where runs demand files, instead of those that the planner names.
        most_per_seed: How many files of one seed are asked for at most.
        seed_characters: How much of a seed a prompt has at most. It is cut between functions and classes.
        execute_s: For how long a written Python file is run in the sandbox, which it must end in by itself and without an
            error. Unset, none is run.
        sampling: How the engine chooses tokens.
        gates: What files must keep to where that differs from the usual: `generators.recipes.limits.Limits`, and in a table
            of a language, `[gates.sql]`, what differs for that one.
    """

    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=10**6)]
    prompt: Annotated[str, msgspec.Meta(max_length=20_000)]
    share: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 1.0
    seeds: Annotated[str, msgspec.Meta(max_length=400)] | None = None
    most_per_seed: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 16
    seed_characters: Annotated[int, msgspec.Meta(ge=200, le=10**6)] = 6000
    execute_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None
    sampling: Sampling = Sampling()
    gates: dict[str, Any] = {}

    def __post_init__(self) -> None:
        missing = [place for place in PLACES if place not in self.prompt]
        if missing:
            said = f" of recipe {self.name} has no {' and no '.join(missing)}; write them where they belong"
            raise Fault(("prompt",), said)
        check_gates(self.gates)

    @property
    def label(self) -> str:
        """Name and version, as identities have it."""
        return f"{self.name}/{self.version}"

    def limits(self, language: str) -> Limits:
        """What its files of a language must keep to."""
        return limits_of(self.gates, language)


def write_prompt(template: str, *, language: str, seed: str, variation: int) -> str:
    """The message of a prompt's template. What stands in a seed is never taken for a place of the template."""
    pieces = template.strip("\n").split("{seed}")
    filled = (piece.replace("{language}", language).replace("{variation}", str(variation)) for piece in pieces)
    return seed.join(filled) + "\n"


def parse_recipe(text: str, *, name: str) -> Recipe:
    """A recipe from TOML. Raises: RecipeError that names line and key."""
    try:
        return check(parse_toml(text), Recipe)
    except TomlError as error:
        raise RecipeError(f"{name}: {error}") from error
    except Fault as fault:
        raise RecipeError(f"{name}:{line_of(text, fault.path)}: {dotted(fault.of) or 'the recipe'}{fault.said}") from fault


def load_recipe(path: str | Path) -> Recipe:
    """A recipe from a TOML file. Raises: RecipeError."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError, TomlError) as error:
        raise RecipeError(f"recipe {path} cannot be read ({error}); give a TOML file") from error
    return parse_recipe(text, name=f"recipe {path}")


def built_in() -> list[Recipe]:
    """Those that come with the package, by name."""
    found = [place for place in files("generators.recipes").iterdir() if place.name.endswith(".toml")]
    return sorted((parse_recipe(place.read_text(), name=place.name) for place in found), key=lambda recipe: recipe.name)


def recipes_of(catalog: Catalog) -> list[Recipe]:
    """The recipes of a root by name, the newest version of each, with the shares that were set last. Raises: RecipeError."""
    return sorted(read_recipes(catalog.log(LOG).read())[0].values(), key=lambda recipe: recipe.name)


def read_recipes(bodies: Bodies) -> tuple[dict[str, Recipe], dict[str, Recipe]]:
    """The newest recipes by name, and all of them by label. Raises: RecipeError for a format that is not known."""
    newest = {recipe.name: recipe for recipe in built_in()}
    labels = {recipe.label: recipe for recipe in newest.values()}
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(RecipeError, f"log {LOG}", body["format"], FORMAT)
            if body["event"] == "added":
                recipe = msgspec.convert(body["recipe"], Recipe)
                newest[recipe.name] = labels[recipe.label] = recipe
            else:
                for name, share in body["shares"].items():
                    newest[name] = msgspec.structs.replace(newest[name], share=share)
    return newest, labels


def add_recipe(catalog: Catalog, recipe: Recipe) -> bool:
    """Adds a recipe to a root; False when it is there.

    Raises: RecipeError when its version says something else there, or when it takes the place of the only one that writes;
    CorpusError when the root lacks an annotator that it names.
    """
    for label in sorted({recipe.limits(language).annotator for language in LANGUAGES} - {""}):
        from streamer.scoring import trained

        trained.load(catalog, label)

    def decide(bodies: Bodies) -> Body | None:
        newest, labels = read_recipes(bodies)
        there = labels.get(recipe.label)
        if there is not None and msgspec.structs.replace(there, share=recipe.share) != recipe:
            raise RecipeError(f"recipe {recipe.label} of root {catalog.store.url} says something else; raise its version")
        if newest.get(recipe.name) == recipe:
            return None
        check_one_writes({**newest, recipe.name: recipe}.values())
        return {"format": FORMAT, "event": "added", "recipe": msgspec.to_builtins(recipe)}

    return catalog.log(LOG).append(decide) is not None


def set_shares(catalog: Catalog, shares: dict[str, float]) -> list[Recipe]:
    """Sets the shares of some recipes. Raises: RecipeError for a name that the root does not have, or when none writes."""

    def decide(bodies: Bodies) -> Body | None:
        newest, _ = read_recipes(bodies)
        for name, share in shares.items():
            if name not in newest:
                raise RecipeError(
                    f"recipe {name} is unknown; there are {', '.join(sorted(newest))}{did_you_mean(name, newest)}"
                )
            if not 0 <= share <= 1e6:
                raise RecipeError(f"share {share} of recipe {name} is not in 0..1,000,000; give one within that")
        changed = [
            msgspec.structs.replace(recipe, share=shares.get(recipe.name, recipe.share)) for recipe in newest.values()
        ]
        check_one_writes(changed)
        return None if changed == list(newest.values()) else {"format": FORMAT, "event": "shares", "shares": shares}

    catalog.log(LOG).append(decide)
    return recipes_of(catalog)


def check_one_writes(recipes: Iterable[Recipe]) -> None:
    """Raises: RecipeError when none of them has a share."""
    if not any(recipe.share for recipe in recipes):
        raise RecipeError("every recipe would have share 0, so that nothing is written; give one a share above 0")


def split(count: int, recipes: Sequence[Recipe], *, written: Mapping[str, int]) -> list[tuple[Recipe, int]]:
    """How many of the next files each recipe writes, so that all that is written is shared as the recipes say.

    Args: written, how many files each version of a recipe has already, by label.
    """
    there: Counter[str] = Counter()
    for label, files_there in written.items():
        there[label.rpartition("/")[0]] += files_there
    counts: Counter[str] = Counter()
    for _ in range(count if recipes else 0):
        chosen = max(recipes, key=lambda recipe: recipe.share / (there[recipe.name] + 1))
        there[chosen.name] += 1
        counts[chosen.name] += 1
    return [(recipe, counts[recipe.name]) for recipe in recipes if counts[recipe.name]]


def find_recipe(catalog: Catalog, word: str) -> Recipe:
    """The recipe of a root that is called so, or of a TOML file. Raises: RecipeError."""
    if word.endswith(".toml"):
        return load_recipe(word)
    found = {recipe.name: recipe for recipe in recipes_of(catalog)}
    if word not in found:
        raise RecipeError(
            f"recipe {word} is unknown; there are {', '.join(found)}, or name a TOML file{did_you_mean(word, found)}"
        )
    return found[word]
