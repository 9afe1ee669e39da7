"""One rank of a small training by torch alone: what it was handed out, a line a step, and a position behind the last one.

Arguments: root, run, rank, world size, steps, number of loader workers, output file, position file.
"""

import itertools
import json
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from training import MixedLoader


def main() -> None:
    root, run, rank, world_size, steps, workers, output, position = sys.argv[1:]
    torch.manual_seed(1)
    rendezvous = f"file://{output}.world"
    distributed.init_process_group("gloo", init_method=rendezvous, rank=int(rank), world_size=int(world_size))
    loader = MixedLoader(root, run, num_workers=int(workers), with_origin=True)
    if Path(position).exists():
        loader.load_state_dict(json.loads(Path(position).read_text()))
    model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Embedding(1 << 16, 4), torch.nn.Linear(4, 1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Path(f"{output}.{rank}").open("a") as lines:
        for batch in itertools.islice(loader, int(steps)):
            optimizer.zero_grad()
            loss = model(batch["input_ids"]).square().mean()
            loss.backward()
            optimizer.step()
            line = {"tokens": batch["input_ids"].tolist(), "origin": batch["origin"].tolist(), "loss": float(loss)}
            print(json.dumps(line), file=lines, flush=True)
    distributed.barrier()
    if distributed.get_rank() == 0:
        Path(position).write_text(json.dumps(loader.state_dict()))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
