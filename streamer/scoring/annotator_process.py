"""An annotator's training in a process of its own.

`python -m streamer.scoring.annotator_process RECIPE_AS_JSON REQUEST RESULT`

Loads the model first, then waits for a line on standard input that says the request is written, so that loading can
run beside other work; end of input ends it. Prints `annotated DONE TOTAL` as it goes. The result appears whole.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamer.errors import PhasemixError
from streamer.scoring.annotator_recipe import AnnotatorRecipe
from streamer.scoring.positives import Text
from streamer.scoring.trained import Embedder, Sample, fit_sample, load_embedder


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe, and the texts to learn from with a label each."""

    recipe: AnnotatorRecipe
    texts: list[Text]
    labels: list[float]


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A version as an entry of a log, and of each text what heads that had not seen it say."""

    body: dict[str, Any]
    unseen: list[float]


def fit_request(request: Request, embedder: Embedder, progress: Callable[[int, int], None]) -> Fitted:
    sample = Sample(request.texts, np.array(request.labels), [])
    body, unseen = fit_sample(request.recipe, sample, embedder, progress)
    return Fitted(body=body, unseen=unseen.tolist())


def main(arguments: list[str]) -> int:
    recipe, request_path, result_path = arguments
    try:
        embedder = load_embedder(msgspec.json.decode(recipe, type=AnnotatorRecipe))
        if not sys.stdin.readline():
            return 0
        request = msgspec.msgpack.decode(Path(request_path).read_bytes(), type=Request)
        found = fit_request(request, embedder, lambda done, total: print("annotated", done, total, flush=True))
    except PhasemixError as error:
        print(f"phasemix: {error}", file=sys.stderr)
        return 2
    aside = Path(f"{result_path}.part")
    aside.write_bytes(msgspec.msgpack.encode(found))
    aside.replace(result_path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
