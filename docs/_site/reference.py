"""Pages of the site that are made of the code when it is built: the start from the README, and the reference.

Always holds: what is read is the parser, the structs and the service themselves, so a page cannot differ from them.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import msgspec
from http_page import http, sentence
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from structs import struct

os.environ["COLUMNS"] = "100"  # argparse folds its help to the terminal
os.environ.pop("PHASEMIX_ROOT", None)
REPOSITORY = Path(__file__).parents[2]
MADE_OF = {
    "streamer/corpus/recipe.py": "reference/corpus_recipe.md",
    "training/phases/phase.py": "reference/training_recipe.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages. Called by mkdocs."""
    pages = {
        "index.md": start(),
        "reference/command_line.md": command_line(),
        "reference/corpus_recipe.md": corpus_recipe(),
        "reference/training_recipe.md": training_recipe(),
        "reference/mixture.md": mixture(),
        "reference/http.md": http(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns a link to the code that a page is made of, which a forge can show, into one to that page. Called by mkdocs."""
    for code, name in MADE_OF.items():
        place = posixpath.relpath(name, posixpath.dirname(page.file.src_uri))
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(code)}\)", f"]({place})", markdown)
    return markdown


def start() -> str:
    """The README, its links as seen from within docs/."""
    text = (REPOSITORY / "README.md").read_text()
    return re.sub(r"<!--[^>]*-->\n", "", text).replace("](docs/", "](")


def command_line() -> str:
    from deploy.command_line import NOUNS

    lines = ["# Command line", "", "What `--help` says, of every command.", ""]
    for noun, (module, does) in NOUNS.items():
        parser = argparse.ArgumentParser(prog=f"phasemix {noun}")
        import_module(module).NOUNS[noun](parser)
        lines += [f"## {noun}", "", sentence(does), ""]
        for one in parsers(parser):
            lines += [f"### {one.prog}", ""] * (one is not parser) + ["```text", one.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in dict.fromkeys(action.choices.values()):
                yield from parsers(one)


def corpus_recipe() -> str:
    from streamer.corpus.recipe import Recipe, Source
    from streamer.gates.filters import GATES, Filters
    from streamer.likeness.decontamination import Decontamination
    from streamer.likeness.near_duplicates import Duplicates
    from streamer.privacy.replacing import Privacy

    head = [
        "# Keys of a corpus recipe",
        "",
        "A recipe is a TOML file for `phasemix corpus ingest --recipe FILE`; `--set KEY=VALUE` changes one key.",
        "",
    ]
    lines = [*head, *struct("The recipe", Recipe), *struct("`[[sources]]`", Source), *struct("`[duplicates]`", Duplicates)]
    lines += struct("`[decontamination]`", Decontamination)
    lines += struct("`[privacy]`", Privacy)
    lines += struct("`[filters]`", Filters)
    for name in GATES:
        lines += struct(f"`[filters.{name}]`", type(getattr(Filters(), name)))
    return "\n".join(lines)


def training_recipe() -> str:
    from training.phases import loggers, phase

    lines = [
        "# Keys of a training recipe",
        "",
        "A recipe is a TOML file for `phasemix train PHASE --recipe FILE`; `--set TABLE.KEY=VALUE` changes one key.",
        '`extends = "NAME"` at its top takes all else from another: [training recipes](../howto/training_recipes.md).',
        "",
        *struct("The recipe", phase.Recipe),
    ]
    seen = {phase.Recipe}
    for field in msgspec.structs.fields(phase.Recipe):
        for kind in (field.type, *getattr(field.type, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
                seen.add(kind)
                lines += struct(
                    "`[general]`, `[continued]`, `[enhanced]`" if kind is phase.Phase else f"`[{field.name}]`", kind
                )
    lines += struct("`[general.schedule]`, and those of the other phases", phase.Schedule)
    for name, kind in (("tensorboard", loggers.TensorBoard), ("wandb", loggers.WandB), ("mlflow", loggers.MLflow)):
        lines += struct(f"`[loggers.{name}]`", kind)
    return "\n".join(lines)


def mixture() -> str:
    from mixer.mixture.grammar import schema

    found = schema()
    lines = [
        "# Keys of a mixture",
        "",
        "What `phasemix mixtures schema` says, for reading. [Mixtures](../mixtures.md) explains them.",
        "",
    ]
    for title, properties in (
        ("The mixture", found["properties"]),
        ("`[[component]]`", found["$defs"]["Component"]["properties"]),
        ("A tier of `curve`", found["$defs"]["Tier"]["properties"]),
    ):
        lines += [f"## {title}", "", "| key | what it is | example |", "| --- | --- | --- |"]
        for key, rule in properties.items():
            example = ", ".join(f"`{json.dumps(one)}`" for one in rule.get("examples", [])[:2])
            lines.append(f"| `{key}` | {rule.get('description', rule.get('title', ''))} | {example} |")
        lines.append("")
    return "\n".join(lines)
