"""The page of an evaluation: its table, its pictures, and how they are read.

Always holds: each file appears whole, the page last, so that it never shows a picture that is not there; the page has no
script and no link outside its folder, and names are text in it.
"""

import re
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from streamer.errors import CorpusError
from streamer.scoring.evaluating.benchmarks import Judged
from streamer.scoring.evaluating.plots import draw_curves, draw_histograms, shown

PAGE = "index.html"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:84rem;margin:2rem auto;padding:0 1rem;color:#1c2530;background:#fff}"
    "p,figcaption{max-width:46rem}figure{margin:1.5rem 0}img{max-width:100%;height:auto}.scroll{overflow-x:auto}"
    "table{border-collapse:collapse}caption{text-align:left;padding:.5rem 0}th,td{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #d5dae1}th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}"
)
READ_TABLE = (
    "auc is the area under the ROC curve: the chance that a solution scores above a document. It lies between low and high "
    "with a confidence of 95 %. by_length is what length alone reaches. matched is the area among pairs of nearly equal "
    "length, where length alone gives 0.5."
)
READ_CURVES = (
    "Imagine a limit for the score, and lower it from the highest score to the lowest. Upwards a curve shows which share of "
    "the solutions reaches the limit, to the right which share of the documents does. A curve that rises steeply at the "
    "left belongs to an annotator that tells the two well; one along the diagonal says no more than a coin. The dashed line "
    "is what length alone does. Where a curve lies close to it, the annotator may measure little else: look at matched in "
    "the table, and at the panels within one language, because in all languages together an annotator can tell languages."
)
READ_HISTOGRAMS = (
    "The filled shape is of documents, the line of solutions. Heights are shares of the files of each kind, so that kinds "
    "of different size can be compared. The less they overlap, the better the annotator tells them. Documents at the "
    "solutions' peak are what it takes for good; read some of them with phasemix annotator look NAME --top 10"
)


def prepare_folder(folder: Path) -> None:
    """Makes the folder, so that a mistake is known before anything is scored. Raises: CorpusError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise refusal(folder, error) from error


def write_evaluation(folder: Path, found: Sequence[Judged], rows: Sequence[dict[str, Any]], about: str) -> Path:
    """Writes the pictures and the page. Returns: the page.

    Args: rows, of the table, as the command prints them; about, a sentence on what was compared. Raises: CorpusError.
    """
    curves = {f"roc-{n}-{plain(name)}.svg": name for n, name in enumerate(found[0].solutions, start=1)}
    scores = {f"scores-{plain(one.annotator.label)}.svg": one for one in found}
    sections = [
        *section("ROC curves", READ_CURVES, {file: f"ROC curves of {name}" for file, name in curves.items()}),
        *section("Scores", READ_HISTOGRAMS, {file: f"Scores by {one.annotator.label}" for file, one in scores.items()}),
    ]
    try:
        for file, name in curves.items():
            write_whole(folder / file, draw_curves(found, name))
        for file, one in scores.items():
            write_whole(folder / file, draw_histograms(one))
        write_whole(folder / PAGE, page(about, rows, sections).encode())
    except OSError as error:
        raise refusal(folder, error) from error
    return folder / PAGE


def page(about: str, rows: Sequence[dict[str, Any]], sections: Sequence[str]) -> str:
    title = "How well annotators tell solutions from documents"
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{text(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return "\n".join([
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>',
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>',
        f"<h1>{title}</h1>\n<p>{text(about)}</p>\n<h2>Figures</h2>\n<p>{text(READ_TABLE)}</p>",
        '<div class="scroll" tabindex="0"><table>\n<caption>Figures by annotator, set and language</caption>',
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>",
        *sections,
        "</main>\n</body>\n</html>\n",
    ])  # fmt: skip


def section(title: str, how: str, pictures: dict[str, str]) -> list[str]:
    return [
        f"<h2>{title}</h2>\n<p>{text(how)}</p>",
        *(
            f'<figure>\n<figcaption>{text(said)}</figcaption>\n<img src="{quote(file)}" alt="{text(said)}">\n</figure>'
            for file, said in pictures.items()
        ),
    ]


def text(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
    return escape(shown(value or ""))


def plain(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9@]+", "-", name)[:60].strip("-")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file aside and renames it."""
    aside = path.with_name(f"{path.name}.part")
    aside.write_bytes(data)
    aside.replace(path)


def refusal(folder: Path, error: OSError) -> CorpusError:
    return CorpusError(f"--plot {folder} cannot be written ({error.strerror}); name a folder that may be written to")
