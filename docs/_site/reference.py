"""Pages of the site that are made of the code when it is built: the start from the README, and the reference.

Always holds: what is read is the parser, the structs and the service themselves, so a page cannot differ from them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

os.environ["COLUMNS"] = "100"  # argparse folds its help to the terminal
os.environ.pop("PHASEMIX_ROOT", None)
REPOSITORY = Path(__file__).parents[2]


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

    head = [
        "# Keys of a corpus recipe",
        "",
        "A recipe is a TOML file for `phasemix corpus ingest --recipe FILE`; `--set KEY=VALUE` changes one key.",
        "",
    ]
    return "\n".join([*head, *struct("The recipe", Recipe), *struct("`[[sources]]`", Source)])


def training_recipe() -> str:
    from training.phases import loggers, phase

    lines = [
        "# Keys of a training recipe",
        "",
        "A recipe is a TOML file for `phasemix train PHASE --recipe FILE`; `--set TABLE.KEY=VALUE` changes one key.",
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


def struct(title: str, kind: type[msgspec.Struct]) -> list[str]:
    """A heading, the docstring, and a table of keys, types and defaults."""
    lines = [f"## {title}", "", inspect.getdoc(kind) or "", "", "| key | type | default |", "| --- | --- | --- |"]
    for field in msgspec.structs.fields(kind):
        kind_of = msgspec.inspect.type_info(field.type)
        lines.append(f"| `{field.name}` | {name_of(kind_of)} | {default_of(field)} |")
    return [*lines, ""]


def name_of(kind: Any) -> str:
    """A type in words that TOML has."""
    words = {
        msgspec.inspect.StrType: "text",
        msgspec.inspect.IntType: "whole number",
        msgspec.inspect.FloatType: "number",
        msgspec.inspect.BoolType: "true or false",
        msgspec.inspect.NoneType: "nothing",
    }
    if type(kind) in words:
        return words[type(kind)]
    if isinstance(kind, msgspec.inspect.UnionType):
        return " or ".join(name_of(one) for one in kind.types if not isinstance(one, msgspec.inspect.NoneType))
    if isinstance(kind, msgspec.inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, msgspec.inspect.EnumType):
        return ", ".join(f"`{one.value}`" for one in kind.cls)
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        return f"list of {name_of(kind.item_type)}"
    if isinstance(kind, msgspec.inspect.Metadata):
        return name_of(kind.type)
    return "table"


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "must be given"
    if isinstance(field.default, msgspec.Struct):
        return "its defaults"
    if field.default in (None, msgspec.NODEFAULT):
        return ""
    return f"`{json.dumps(msgspec.to_builtins(field.default))}`"


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
    ):
        lines += [f"## {title}", "", "| key | what it is | example |", "| --- | --- | --- |"]
        for key, rule in properties.items():
            example = ", ".join(f"`{json.dumps(one)}`" for one in rule.get("examples", [])[:2])
            lines.append(f"| `{key}` | {rule.get('description', rule.get('title', ''))} | {example} |")
        lines.append("")
    return "\n".join(lines)


def http() -> str:
    from mixer.service import create_app

    with tempfile.TemporaryDirectory() as root:
        document = create_app(root).openapi()
    lines = ["# HTTP", "", "The mixer service's routes; [Service](../service.md) has what holds for all of them.", ""]
    for path, methods in document["paths"].items():
        for method, rule in methods.items():
            lines += [f"## {method.upper()} {path}", "", sentence(rule.get("description") or rule.get("summary", "")), ""]
            parameters = [one for one in rule.get("parameters", []) if one["in"] != "header"]
            if parameters:
                lines += ["| parameter | in | needed |", "| --- | --- | --- |"]
                lines += [
                    f"| `{one['name']}` | {one['in']} | {'yes' if one.get('required') else ''} |" for one in parameters
                ]
                lines.append("")
    return "\n".join(lines)


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "." * bool(text)
