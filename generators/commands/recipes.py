"""`phasemix generators recipes | try`: what engines are asked. Imports nothing heavy."""

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from generators.commands.files import measures
from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from generators.engines.engine import Engine
    from generators.queue.job import Completion, Job


def add_recipes(verbs: Any) -> None:
    recipes = verbs.add_parser("recipes", help="list the recipes of a root, add one, or set their shares")
    recipes.add_argument("--add", action="append", default=[], metavar="FILE", help="add the recipe of a TOML file")
    recipes.add_argument(
        "--share", action="append", default=[], metavar="NAME=SHARE", help="set a recipe's share of the files, beside others"
    )
    add_root(recipes)
    add_json(recipes)
    recipes.set_defaults(run=run_recipes)


def add_try(verbs: Any) -> None:
    attempt = verbs.add_parser("try", help="ask an engine once by a recipe, and show prompt, answer and verdict")
    attempt.add_argument("recipe", metavar="RECIPE", help="a name, or a TOML file")
    attempt.add_argument("--seed", required=True, metavar="DOCUMENT", help="the seed document, by its id")
    attempt.add_argument("--engine", required=True, metavar="URL", help="an OpenAI-compatible address up to /v1")
    attempt.add_argument("--model", help="ask for this model (default: the first that the engine serves)")
    attempt.add_argument("--variation", type=int, default=1, metavar="N", help="the n-th file of the seed (default: 1)")
    add_root(attempt)
    add_json(attempt)
    attempt.set_defaults(run=run_try)


def run_recipes(options: argparse.Namespace) -> int:
    from generators.errors import RecipeError
    from generators.recipes.recipe import add_recipe, load_recipe, recipes_of, set_shares
    from streamer.catalog.catalog import Catalog

    catalog, shares = Catalog(options.root), dict[str, float]()
    for word in options.share:
        name, sign, share = word.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            sign = ""
        if not sign:
            raise RecipeError(f"--share {word} has no name and number; write for example --share rewrite=0.3")
    for path in options.add:
        add_recipe(catalog, load_recipe(path))
    if shares:
        set_shares(catalog, shares)
    recipes = recipes_of(catalog)
    total = sum(recipe.share for recipe in recipes)
    rows = [
        {
            "recipe": recipe.name,
            "version": recipe.version,
            "share": round(recipe.share / total, 4),
            "seeds": recipe.seeds or "as wanted",
            "most_per_seed": recipe.most_per_seed,
            "max_tokens": recipe.sampling.max_tokens,
            "gates": recipe.gates if options.json else gate_words(recipe.gates),
        }
        for recipe in recipes
    ]
    print_table(rows, options.json)
    return 0


def gate_words(gates: dict[str, Any]) -> str:
    """A recipe's own limits on one line, those of a language behind its name."""
    words = (
        f"{name}: {gate_words(value)}" if isinstance(value, dict) else f"{name}={value}" for name, value in gates.items()
    )
    return ", ".join(words) or "usual"


def run_try(options: argparse.Namespace) -> int:
    import asyncio

    import msgspec

    from generators.engines.engine import API_KEY, Engine
    from generators.gates.execution import execute
    from generators.gates.gates import judge
    from generators.gates.quality import Floors
    from generators.recipes.recipe import write_prompt
    from streamer.catalog.catalog import Catalog

    engine = Engine([options.engine], model=options.model, key=os.environ.get(API_KEY))
    job, completion = asyncio.run(ask(options, engine))
    verdict = execute(job, judge(job, completion))
    if verdict.text is not None:
        scored = Floors(Catalog(options.root)).judge(verdict.text, job.limits)
        verdict = msgspec.structs.replace(scored, values={**verdict.values, **scored.values})
    found = {
        "prompt": write_prompt(job.prompt, language=job.language, seed=job.text, variation=job.index + 1),
        "reasoning": completion.reasoning,
        "answer": completion.text,
        "finish_reason": completion.finish_reason,
        "model": job.model,
        "prompt_tokens": completion.prompt_tokens,
        "tokens": completion.tokens,
        "verdict": "accepted" if verdict.accepted else str(verdict.reason),
        "sampling": msgspec.to_builtins(job.sampling),
        "values": verdict.values,
        "limits": msgspec.structs.asdict(job.limits),
    }
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    for title in ("prompt", "reasoning", "answer"):
        if found[title]:
            print(f"--- {title}\n{found[title]}".encode(errors="replace").decode())
    print(
        f"--- {found['verdict']}: {job.model}, {completion.prompt_tokens:,} tokens read, {completion.tokens:,} written, "
        f"ended by {completion.finish_reason}"
    )
    print("\n".join(measures(verdict.values)))
    return 0


async def ask(options: argparse.Namespace, engine: "Engine") -> "tuple[Job, Completion]":
    """One job and its answer. Raises: EngineError, OrderError, RecipeError."""
    from generators.errors import RecipeError
    from generators.planning.seed_documents import find_seed_document
    from generators.queue.job import Job
    from generators.recipes.recipe import find_recipe
    from streamer.catalog.catalog import Catalog

    if options.variation < 1:
        raise RecipeError(f"--variation must be at least 1 (got {options.variation})")
    catalog = Catalog(options.root)
    recipe, index = find_recipe(catalog, options.recipe), options.variation - 1
    seed = find_seed_document(catalog, options.seed)
    try:
        await engine.check()
        job = Job(
            language=seed.language,
            seed_document=seed.document,
            recipe=recipe.label,
            model=engine.model,
            index=index,
            text=seed.passage(index, recipe.seed_characters),
            purpose="try",
            prompt=recipe.prompt,
            sampling=recipe.sampling,
            limits=recipe.limits(seed.language),
            execute_s=recipe.execute_s,
            repository=seed.repository,
            license=seed.license,
        )
        return job, await engine.complete(job)
    finally:
        await engine.close()
