"""A process that reads random shards through the shared cache until it is killed or has read enough."""

import os
import pickle
import random
import sys
from pathlib import Path

from streamer.reading.reader import Reader
from streamer.store.directory_store import DirectoryStore
from streamer.store.store import Store


class Far(DirectoryStore):
    """A directory that is fetched from, as an object store is. Notes each fetch in a file."""

    def local_path(self, key: str) -> Path | None:
        return None

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        descriptor = os.open(self.root / "fetches", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{key}\n".encode())
        os.close(descriptor)
        return super().fetch(key, path, size_bytes)


def main() -> None:
    store: Store
    store, cache, cache_bytes, wants, seed, turns = pickle.load(sys.stdin.buffer)
    reader, chance = Reader(store, cache, cache_bytes=cache_bytes), random.Random(seed)
    for turn in range(turns):
        chosen = chance.sample(range(len(wants)), 2)
        if turn % 2:
            reader.read_ahead([wants[number] for number in chosen])
        for number in chosen:
            if not (reader.rows(*wants[number]) == number).all():
                sys.exit(f"wrong rows of {wants[number][1].name}")
        print(turn, flush=True)
    reader.close()


if __name__ == "__main__":
    from cache_reader import main  # under its own name, as pickle has it

    main()
