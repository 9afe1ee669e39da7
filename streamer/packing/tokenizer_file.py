"""tokenizer.json files that anyone wrote: tried out in a process of their own before this one loads them.

Always holds: a file whose text is returned was loaded, encoded samples and long runs of characters, and gave texts back, in
a process with bounds on memory and processor time. Whatever the tokenizers library does there (an abort for want of memory,
a panic with its trace, a regular expression that does not come to an end) is one CorpusError here.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from streamer.errors import CorpusError, PhasemixError
from streamer.packing.encoder import TextEncoder
from streamer.packing.tokenizer import library_errors, parse
from streamer.packing.tokenizer_shape import MOST_CHARACTERS, read_shape

MOST_BYTES = 4 << 30  # of memory that the trial may address
MOST_CPU_S = 30
RUN_CHARACTERS = 1 << 15
RUNS = (" ", "\n", "a", "0", "_", "é", "a1", " \n\t")  # what a backtracking expression may go back over


def read_text(path: str | Path) -> str:
    """The text of a tokenizer.json that was tried out. Raises: CorpusError when it cannot be read or used."""
    name = f"tokenizer {path}"
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{name} cannot be read ({error}); give a tokenizer.json") from error
    read_shape(text, name=name)
    try_out(text, name=name)
    return text


def try_out(json_text: str, *, name: str, most_bytes: int = MOST_BYTES, most_cpu_s: int = MOST_CPU_S) -> None:
    """Loads the tokenizer and encodes samples in a process that may take so much. Raises: CorpusError."""
    command = [sys.executable, "-P", "-m", "streamer.packing.tokenizer_file", name, str(most_bytes), str(most_cpu_s)]
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command,
        input=json_text.encode(),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false", "RUST_BACKTRACE": "0"},
    )
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode == 2 and said:
        raise CorpusError(said)
    if done.returncode == -signal.SIGXCPU:
        why = f"loading it and encoding {RUN_CHARACTERS:,} characters took more than {most_cpu_s} s of processor time"
    elif done.returncode < 0:
        why = (
            f"loading it and encoding {RUN_CHARACTERS:,} characters ended by {signal.Signals(-done.returncode).name}, "
            f"as when more than {most_bytes >> 20:,} MiB of memory are asked for"
        )
    else:
        why = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason was given"])[-1][:200]
    raise CorpusError(f"{name} cannot be used: {why}; give another tokenizer.json")


def trial(name: str, most_bytes: int, most_cpu_s: int) -> int:
    """The child's part: reads the text from standard input; prints why it cannot be used. Returns the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (most_cpu_s, most_cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        text = sys.stdin.buffer.read().decode()
        tokenizer, runs = parse(text, name=name), [(run * RUN_CHARACTERS)[:RUN_CHARACTERS] + "!" for run in RUNS]
        for run in runs:
            with library_errors(f"{name} cannot encode a long run of {run[:4]!r}"):
                tokenizer.encode(run, add_special_tokens=False)
        TextEncoder(text, name=name).encode(runs)  # by the other library too
    except PhasemixError as error:
        print(error)
        return 2
    except MemoryError:
        print(f"{name} needs more than {most_bytes >> 20:,} MiB of memory; use a smaller vocabulary")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(trial(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
