"""Files a second that an annotator scores, beside a plain loop that embeds one file after the other with the same model.

    python -m benchmarks.scoring ROOT [--files N] [--json]

ROOT has a corpus. The annotator is trained here on all-MiniLM-L6-v2: modules of the standard library against random
documents. Then N other documents are scored in four ways, by all cores: by the loop; by the annotator's own path; by that in
bfloat16; and with a student in front that was fitted on N further documents and passes on a quarter of each language. Times
are without loading the model. `same_top`: of the loop's best 5 % of each language the share that a path has there too;
`kept`: the share that the student passes on.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.report import Report, show
from streamer import Catalog
from streamer.corpus.recipe import default_positives
from streamer.packing.grouping import random_key
from streamer.scoring.annotator import OFFLINE_MODEL, Features, apply_head
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives
from streamer.scoring.positives import Draw, Text, read_streams
from streamer.scoring.sections import Sections
from streamer.scoring.student import BEST, Model, by_language, fit_student
from streamer.scoring.trained import Trained, fit_sample, gather_good, load_embedder, score, trained_of

SEED, RANDOM, SECTION_TOKENS, PASS_ON = 5, 300, 256, 0.25
Scores = npt.NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    return show(measure(Catalog(options.root), options.files), as_json=options.json)


def measure(catalog: Catalog, files: int) -> Report:
    recipe = AnnotatorRecipe(
        name="measured",
        embedder=OFFLINE_MODEL,
        section_tokens=SECTION_TOKENS,
        positives=(Positives(files=default_positives(), most=RANDOM),),
        files=RANDOM,
    )
    sample = gather_good(catalog, recipe)
    embedder = load_embedder(recipe)
    trained = trained_of(fit_sample(recipe, sample, embedder)[0], recipe.name, 1)
    known = {one.text for one in sample.texts}
    drawn = Draw(2 * files)
    for one in read_streams(catalog, recipe.negatives):
        if one.text not in known:
            drawn.add(random_key(SEED, "scored", one.text), one)
    texts = list(drawn.sorted().values())
    mine, others = texts[:files], texts[files:]
    languages = [one.language for one in mine]

    def by_path(changed: Trained) -> Callable[[list[Text]], Scores]:
        its = load_embedder(changed.recipe)
        score(changed, ["warm"], embedder=its)
        return lambda found: score(changed, [one.text for one in found], embedder=its)

    exact = by_path(trained)
    small = msgspec.structs.replace(trained, recipe=msgspec.structs.replace(recipe, precision="bfloat16"))
    quick = by_path(small)
    student = fit_student(
        [one.text for one in others],
        [one.language for one in others],
        exact(others),
        sections=Sections(SECTION_TOKENS),
        pass_on=PASS_ON,
        model=Model(embedder.embed, embedder.tokenizer or ""),
    )
    student.score(["warm"], ["python"])
    passed: list[int] = []

    def in_front(found: list[Text]) -> Scores:
        scores = student.score([one.text for one in found], languages)
        for _, places in by_language(languages):
            passed.extend(places[np.argsort(-scores[places], kind="stable")][: int(len(places) * PASS_ON)])
        scores[passed] = exact([found[place] for place in passed])
        return scores

    def loop(found: list[Text]) -> Scores:
        weights = trained.weights.astype(np.float64)
        scores = []
        for one in found:
            rows = embedder.embed(Sections(SECTION_TOKENS).cut(one.text))
            scores.append(apply_head(Features(rows, np.zeros(len(rows), np.int64), 1), weights, trained.bias)[0])
        return np.array(scores)

    rows: list[dict[str, Any]] = []
    wanted, first_s = np.zeros(0), 0.0
    for name, path in (("loop", loop), ("annotator", exact), ("bfloat16", quick), ("student in front", in_front)):
        began_s = time.perf_counter()
        scores = path(mine)
        took_s = time.perf_counter() - began_s
        wanted = scores if name == "loop" else wanted
        first_s = took_s if name == "loop" else first_s
        off = float(np.abs(scores - wanted).max())
        top = same_top(scores, wanted, languages)
        rows.append(
            {
                "path": name,
                "files_per_s": files / took_s,
                "ratio": first_s / took_s,
                "largest_difference": off,
                "same_top": top,
            }
        )
        print(rows[-1], file=sys.stderr)
    ratios = {row["path"]: row["ratio"] for row in rows}
    figures = {
        "annotator": ratios["annotator"],
        "annotator_difference": rows[1]["largest_difference"],
        "bfloat16": ratios["bfloat16"],
        "bfloat16_same_top": rows[2]["same_top"],
        "student": ratios["student in front"],
        "student_kept": kept(passed, wanted, languages),
    }
    targets = {
        "annotator": (">=", 1.0), "annotator_difference": ("<=", 1e-3), "bfloat16": (">=", 2.0),
        "bfloat16_same_top": (">=", 0.99), "student": (">=", 3.0), "student_kept": (">=", 0.98),
    }  # fmt: skip
    return Report(f"{files} files of {len(set(languages))} languages", rows, figures, targets)


def best(scores: Scores, languages: list[str]) -> set[int]:
    """The best 5 % of each language."""
    found = set[int]()
    for _, places in by_language(languages):
        ranked = places[np.argsort(-scores[places], kind="stable")]
        found |= set(ranked[: max(1, round(len(places) * BEST))].tolist())
    return found


def same_top(scores: Scores, wanted: Scores, languages: list[str]) -> float:
    ours = best(wanted, languages)
    return len(ours & best(scores, languages)) / len(ours)


def kept(passed: list[int], wanted: Scores, languages: list[str]) -> float:
    ours = best(wanted, languages)
    return len(ours & set(map(int, passed))) / len(ours)


if __name__ == "__main__":
    sys.exit(main())
