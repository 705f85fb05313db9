"""One process of a distributed run, started by `test_ranks`: what it finds goes to a file.

python one_rank.py RANK FOLDER
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from mlpinit.watch import audit, watch

RANKS, STEPS, BATCH = 2, 22, 32
OPTIONS = {"window": 4 * BATCH, "enough": 100}  # of each rank
ONE = {"window": 4 * BATCH * RANKS, "enough": 100}  # of a process that sees the batches of all


def network() -> nn.Sequential:
    """Unit 5 of its ReLUs answers to rank 1's examples alone, unit 6 to none."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 1)
    ).double()
    with torch.no_grad():
        model[0].weight[5] = torch.tensor([1.0, 0, 0, 0])
        model[0].bias[5] = -4.5
        model[0].weight[6], model[0].bias[6] = 0.0, -1.0
        model[2].bias[2] = 40.0
    return model


def batch(step: int, rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(step * RANKS + rank)
    X = torch.randn(BATCH, 4, generator=generator, dtype=torch.float64)
    X[:, 0] += 6 * rank
    return X


def examples() -> Tensor:
    """An odd number, half of them like each rank's."""
    return torch.cat([batch(step, rank) for rank in range(RANKS) for step in range(3)])[:-1]


def push(layer: nn.Linear, step: int) -> None:
    """Unit 3 dies in the seventh step and is revived in the sixteenth."""
    with torch.no_grad():
        layer.bias[3] += {6: -100.0, 15: 100.0}.get(step, 0.0)


def train(model: nn.Module, rank: int, lr: float) -> Iterator[int]:
    """Real steps, on this rank's batches; each is given before it is made."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(STEPS):
        yield step
        optimizer.zero_grad()
        model(batch(step, rank)).square().mean().backward()
        optimizer.step()


def under_ddp(rank: int) -> dict[str, object]:
    inner = network()
    model = nn.parallel.DistributedDataParallel(inner)
    states = []
    with watch(inner, **OPTIONS) as w, watch(model, **OPTIONS) as outer:
        for step in train(model, rank, lr=0.01):
            push(inner[0], step)
            states.append(copy.deepcopy(inner.state_dict()))
    found = {"own": w.report(), "ddp": w.report(all_ranks=True), "states": states}
    found["outer"] = outer.report(all_ranks=True)
    return found


def under_fsdp2(rank: int) -> dict[str, object]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, mesh = network(), init_device_mesh("cpu", (RANKS,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    with watch(model, **OPTIONS) as w:
        for _ in train(model, rank, lr=0.0):
            pass
    return {"fsdp2": w.report(all_ranks=True)}


def under_fsdp1(rank: int) -> dict[str, object]:
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = FullyShardedDataParallel(network(), device_id=torch.device("cpu"))
    with watch(model, **OPTIONS) as w:
        for _ in train(model, rank, lr=0.0):
            pass
    return {"fsdp1": w.report(all_ranks=True)}


def audited(rank: int) -> dict[str, object]:
    data = examples()
    sampler = DistributedSampler(data, shuffle=False)
    loader = DataLoader(data, batch_size=10, sampler=sampler)
    model = network()
    found = {"audit": audit(model, loader, all_ranks=True, progress=False)}
    found["some empty"] = audit(model, loader if rank else [], all_ranks=True, progress=False)
    found["all empty"] = error_of(lambda: audit(model, [], all_ranks=True, progress=False))
    wrong = loader if rank == 0 else [torch.zeros(5, 3, dtype=torch.float64)]
    found["one wrong"] = error_of(lambda: audit(model, wrong, all_ranks=True, progress=False))
    return found


def misused(rank: int) -> dict[str, object]:
    model = network()
    with watch(model, every=rank + 1, **OPTIONS) as w:
        model(batch(0, rank))
    found = {"differing": error_of(lambda: w.report(all_ranks=True))}
    with watch(model, **OPTIONS) as w:
        for step in range(1 + rank):
            model(batch(step, rank))
    found["uneven"] = w.report(all_ranks=True)
    alone = dist.new_group([1])
    if rank == 0:  # alone: nobody waits, and nothing waits for anybody
        found["alone"] = w.report()
        found["no member"] = error_of(lambda: w.report(all_ranks=True, group=alone))
    return found


def error_of(call: object) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    found: dict[str, object] = {}
    for part in (under_ddp, audited, misused, under_fsdp2, under_fsdp1):
        try:
            found |= part(rank)
        except ImportError as error:  # an older torch
            found[part.__name__] = str(error)
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
