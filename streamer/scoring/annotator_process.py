"""The annotator in a process of its own: `python -m streamer.annotator_process MODEL SECTION_TOKENS REQUEST RESULT`.

Loads the model first, then waits for a line on standard input that says the request is written, so that loading can
run beside other work; end of input ends it. Prints `annotated DONE TOTAL` as it goes. The result appears whole.
"""

import sys
from pathlib import Path

import msgspec

from streamer.errors import PhasemixError
from streamer.scoring import annotator


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Texts of good and of random files."""

    positives: list[str]
    negatives: list[str]


def main(arguments: list[str]) -> int:
    model, section_tokens, request_path, result_path = arguments
    try:
        embed, label = annotator.load_embedder(model, section_tokens=int(section_tokens))
        if not sys.stdin.readline():
            return 0
        request = msgspec.msgpack.decode(Path(request_path).read_bytes(), type=Request)
        features = annotator.embed_files(
            [*request.positives, *request.negatives],
            embed,
            section_tokens=int(section_tokens),
            progress=lambda done, total: print("annotated", done, total, flush=True),
        )
        found = annotator.annotate(features, len(request.positives), model=label, section_tokens=int(section_tokens))
    except PhasemixError as error:
        print(f"phasemix: {error}", file=sys.stderr)
        return 2
    aside = Path(f"{result_path}.part")
    aside.write_bytes(msgspec.msgpack.encode(found))
    aside.replace(result_path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
