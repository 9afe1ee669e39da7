"""One rank that reads a run through grain: the ids of each batch as a line; rank 0 saves grain's position as it goes.

Arguments: root, run, rank, world size, number of batches, output file, position file. One rank alone goes on from
the position.
"""

import json
import sys
import time
from pathlib import Path

import grain

from training.loading.grain_source import RunSource


def main() -> None:
    root, run, rank, world_size, batches, output, position = sys.argv[1:]
    source = RunSource(root, run, rank=int(rank), world_size=int(world_size), num_batches=int(batches))
    assert isinstance(source, grain.sources.RandomAccessDataSource)
    elements = iter(grain.MapDataset.source(source).to_iter_dataset())
    if world_size == "1":
        elements.set_state(json.loads(Path(position).read_text()))
    with Path(output).open("a") as lines:
        for element in elements:
            print(json.dumps(element["input_ids"].tolist()), file=lines, flush=True)
            if world_size == "1":
                continue
            if rank == "0":
                aside = Path(f"{position}.aside")
                aside.write_text(json.dumps(elements.get_state()))
                aside.replace(position)
            time.sleep(0.02)  # long enough to be killed in between


if __name__ == "__main__":
    main()
