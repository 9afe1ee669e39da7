"""One of several processes that read a run and change it at the same time: `race_process.py ROOT NUMBER`.

Prints, as JSON, the digest of every batch that it was handed and what it managed to do.
"""

import json
import random
import sys

import xxhash

from mixer import RunEnded, RunError, RunReader, Runs

BATCHES = 150


def main() -> None:
    root, number = sys.argv[1], int(sys.argv[2])
    chance, runs, done = random.Random(number), Runs(root), list[list[object]]()
    reader, step, seen = RunReader(root, "a"), 0, dict[int, str]()
    while len(seen) < BATCHES:
        try:
            step = reader.next_step(step)
            seen[step] = xxhash.xxh3_64_hexdigest(reader.read(step).origin.tobytes())
        except RunEnded:
            break
        step += 1
        if chance.random() < 0.2:
            done += act(runs, number, chance)
    print(json.dumps({"seen": seen, "done": done}))


def act(runs: Runs, number: int, chance: random.Random) -> list[list[object]]:
    """Something that others try too; what was done, or nothing where it was refused."""
    end, what = runs.show("a").end_step, chance.choice(["switch", "skip", "fork"])
    try:
        match what:
            case "switch":
                return [[what, runs.switch("a", chance.choice(["m@1", "m@2"]), by=str(number)), 0]]
            case "skip":
                start = end + chance.randrange(8)
                runs.skip("a", start, 3, by=str(number))
                return [[what, start, 3]]
            case _:
                name = f"fork-{end // 40}"
                runs.fork("a", name, at_step=end - 1, by=str(number))
                return [[what, name, number]]
    except RunError:
        return []


if __name__ == "__main__":
    main()
