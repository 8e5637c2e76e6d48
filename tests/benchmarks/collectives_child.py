"""One rank of the measurements of collectives: of nbray, or of MPI (started by mpiexec).

Prints JSON, from rank 0: microseconds per operation, the best of several runs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

ALLREDUCE = {"8 B": 1, "1 KiB": 128, "64 KiB": 8192, "1 MiB": 131072, "100 MiB": 13107200}  # float64
RUNS = 7
RUN_S = 0.1  # about so long a run takes when nothing disturbs it


def measure(allreduce: Callable, send: Callable, recv: Callable, barrier: Callable, rank: int) -> dict[str, float]:
    """Microseconds of each operation."""

    def best(once: Callable[[], None], most: int) -> float:
        once()
        barrier()
        before = time.perf_counter()
        for _ in range(3):
            once()
        agreed = np.array([RUN_S / (time.perf_counter() - before) * 3 if rank == 0 else 0.0])
        allreduce(agreed)  # all ranks do what rank 0 found to be right
        count = min(most, max(1, int(agreed[0])))
        found = []
        for _ in range(RUNS):
            barrier()
            before = time.perf_counter()
            for _ in range(count):
                once()
            found.append((time.perf_counter() - before) / count * 1e6)
        return min(found)

    result = {}
    for name, size in ALLREDUCE.items():
        array = np.zeros(size)
        result[f"allreduce {name}"] = best(lambda array=array: allreduce(array), 10_000)
    byte = np.zeros(1, np.uint8)

    def ping_pong() -> None:
        if rank == 0:
            send(byte, 1)
            recv(byte, 1)
        else:
            recv(byte, 0)
            send(byte, 0)

    result["ping-pong 1 B"] = best(ping_pong, 10_000)
    return result


def mpi() -> None:
    """Run as one rank of MPI."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    result = measure(
        lambda array: comm.Allreduce(MPI.IN_PLACE, array),
        lambda array, to: comm.Send(array, to),
        lambda array, source: comm.Recv(array, source),
        comm.Barrier,
        comm.rank,
    )
    if comm.rank == 0:
        print(json.dumps({"library": MPI.Get_library_version().splitlines()[0], "results": result}))


def nbray() -> None:
    """Run both ranks as actors of nbray."""
    import nbray as ray
    from nbray import collective as col

    ray.init(num_cpus=2, object_store_memory=256 * 2**20, log_to_driver=False)

    @ray.remote
    class Rank:
        def run(self, rank: int) -> dict[str, float]:
            col.init_collective_group(2, rank)
            return measure(col.allreduce, col.send, col.recv, col.barrier, rank)

    ranks = [Rank.remote() for _ in range(2)]
    result = ray.get([actor.run.remote(rank) for rank, actor in enumerate(ranks)])[0]
    print(json.dumps({"library": f"nbray {ray.__version__}", "results": result}))
    ray.shutdown()


if __name__ == "__main__":
    {"mpi": mpi, "nbray": nbray}[sys.argv[1]]()
