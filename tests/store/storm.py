"""The kill storm, as a program: workers put, get and delete; one is SIGKILLed every 5 ms.

    python storm.py SECONDS SEED     prints one line of JSON

A process of its own, so that forking is cheap and nothing of pytest is inherited. Each
worker times every call into the store. What counts as a stall is the time a call took
less the time that the process waited for a processor meanwhile (schedstat): the machine
has fewer processors than there are workers, and that wait is not the store's.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time

from nbray._cstore import ffi, lib

WORKERS = 8
CAPACITY = 256 << 20
KILL_EVERY_S = 0.005
LEAST_KILLS = 50  # also on a machine so busy that they take longer
IDS = [b"%028d" % i for i in range(200)]
NULL = ffi.NULL


def run_delay_ns(fd: int) -> int:
    """Return how long this process has waited for a processor."""
    return int(os.pread(fd, 64, 0).split()[1])


def attach(fd: int):
    out, why = ffi.new("nbs_seg **"), ffi.new("char[256]")
    status = lib.nbs_attach(fd, out, why, 256)
    assert status == 0, (status, ffi.string(why))
    return out[0]


class Worker:
    """One victim: random calls until it is killed."""

    def __init__(self, fd: int, index: int, seed: int, board: mmap.mmap) -> None:
        self.delay_fd = os.open("/proc/self/schedstat", os.O_RDONLY)
        self.board, self.index = board, index
        self.worst = 0.0
        self.timed(lambda: setattr(self, "seg", attach(fd)))
        struct.pack_into("<Q", board, 1024 + 8 * index, lib.nbs_self(self.seg))
        self.random = random.Random(seed)
        self.held: list[tuple[int, int]] = []
        self.obj, self.data = ffi.new("uint64_t *"), ffi.new("void **")
        self.info = ffi.new("nbs_object *")

    def timed(self, call):
        before_delay, before = run_delay_ns(self.delay_fd), time.monotonic_ns()
        result = call()
        took = time.monotonic_ns() - before
        if took > 2_000_000:
            took -= run_delay_ns(self.delay_fd) - before_delay
            if took > self.worst:
                self.worst = took
                struct.pack_into("<d", self.board, 8 * self.index, took / 1e6)
        return result

    def put(self, object_id: bytes) -> None:
        size = int(1024 * 4096 ** self.random.random())
        fill = object_id[-1]
        meta = lib.NBS_META_KEEP if self.random.random() < 0.5 else 0
        obj = self.obj
        status = self.timed(lambda: lib.nbs_obj_create(self.seg, object_id, size, meta, 0, NULL, 0, obj, self.data))
        if status == lib.NBS_EEXISTS:
            self.held.append((obj[0], fill))
        elif status == 0:
            self.timed(lambda: lib.nbs_obj_write(self.seg, obj[0], 0, bytes([fill]) * size, size))
            if self.random.random() < 0.1:
                assert self.timed(lambda: lib.nbs_obj_abort(self.seg, obj[0])) == 0
                return
            assert self.timed(lambda: lib.nbs_obj_seal(self.seg, obj[0])) == 0
            self.held.append((obj[0], fill))
        else:
            assert status == lib.NBS_EFULL, status

    def get(self, object_id: bytes) -> None:
        obj = self.obj
        if self.timed(lambda: lib.nbs_lookup(self.seg, object_id, obj)) == 0:
            self.held.append((obj[0], object_id[-1]))
            assert lib.nbs_obj_info(self.seg, obj[0], self.info) == 0
            if self.info.state == lib.NBS_SEALED and self.info.size:
                data = ffi.buffer(self.info.data, self.info.size)
                assert data[0] == data[self.info.size - 1] == bytes([object_id[-1]]), "wrong bytes"

    def run(self) -> None:
        while True:
            object_id = self.random.choice(IDS)
            what = self.random.random()
            if what < 0.4:
                self.put(object_id)
            elif what < 0.8:
                self.get(object_id)
            else:
                self.timed(lambda object_id=object_id: lib.nbs_delete(self.seg, object_id))
            while len(self.held) > self.random.randrange(1, 12):
                obj, _ = self.held.pop(self.random.randrange(len(self.held)))
                assert self.timed(lambda obj=obj: lib.nbs_release(self.seg, obj)) >= 0


def spawn(fd: int, index: int, seed: int, board: mmap.mmap) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.nice(10)  # back to 0
            Worker(fd, index, seed, board).run()
        except BaseException as error:
            os.write(2, f"worker {index}: {error!r}\n".encode())
        os._exit(3)
    return pid


def main(seconds: float, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    out, why = ffi.new("int *"), ffi.new("char[512]")
    status = lib.nbs_create(CAPACITY, 0, out, why, 512)
    assert status == 0, ffi.string(why)
    fd = out[0]
    seg = attach(fd)
    me = lib.nbs_self(seg) & 0xFFFFFFFF
    board = mmap.mmap(-1, 4096)
    if os.geteuid() == 0:
        os.nice(-10)  # the killer must keep its pace beside eight busy victims
    stats = ffi.new("nbs_stats *")
    pids = [spawn(fd, i, seed + i, board) for i in range(WORKERS)]
    kills = checks = recovered = 0
    slowest_recover = 0.0
    began_at = time.monotonic()
    end = began_at + seconds
    epochs: dict[int, int] = {}
    failure = ""

    def recover(value: int) -> None:
        nonlocal recovered, slowest_recover
        began = time.monotonic()
        assert lib.nbs_recover(seg, value) == 0
        slowest_recover = max(slowest_recover, (time.monotonic() - began) * 1e3)
        recovered += 1

    def recover_the_unannounced() -> None:
        """Recover who died between taking a slot and telling us its name."""
        for slot in range(64):
            for epoch in range(epochs.get(slot, 1), epochs.get(slot, 1) + 400):
                value = epoch << 32 | slot
                if lib.nbs_peer_pid(seg, value) > 0:
                    epochs[slot] = epoch
                    if slot != me and lib.nbs_alive(seg, value) == 0:
                        recover(value)
                    break

    def reap(block: bool) -> None:
        """Recover and replace the workers whose death is complete."""
        nonlocal failure
        for i in [i for i in range(WORKERS) if dying[i]]:
            pid, code = os.waitpid(pids[i], 0 if block else os.WNOHANG)
            if pid == 0:
                continue
            if not os.WIFSIGNALED(code) or os.WTERMSIG(code) != signal.SIGKILL:
                failure = f"a worker ended by itself: {code}"
            announced = struct.unpack_from("<Q", board, 1024 + 8 * i)[0]
            if announced:
                recover(announced)
                struct.pack_into("<Q", board, 1024 + 8 * i, 0)
            pids[i] = spawn(fd, i, kills * 1000 + seed, board)
            dying[i] = False

    dying = [False] * WORKERS
    while (time.monotonic() < end or kills < LEAST_KILLS) and not failure:
        time.sleep(max(0.0, began_at + kills * KILL_EVERY_S - time.monotonic()))
        reap(block=all(dying))
        i = rng.choice([i for i in range(WORKERS) if not dying[i]])
        os.kill(pids[i], signal.SIGKILL)
        dying[i] = True
        kills += 1
        if kills % 100 == 0:
            checks += 1
            recover_the_unannounced()
            if lib.nbs_check(seg, why, 512) != 0:
                failure = ffi.string(why).decode()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    recover_the_unannounced()
    if not failure and lib.nbs_check(seg, why, 512) != 0:
        failure = ffi.string(why).decode()
    lib.nbs_evict(seg, 1 << 62)
    lib.nbs_get_stats(seg, stats)
    worst = max(struct.unpack_from(f"<{WORKERS}d", board, 0))
    result = {
        "kills": kills, "checks": checks, "recovered": recovered, "repairs": stats.n_repairs,
        "created": stats.n_created_total, "evicted": stats.n_evicted_total, "worst_call_ms": round(worst, 2),
        "slowest_recover_ms": round(slowest_recover, 2), "left_objects": stats.n_objects, "left_bytes": stats.used,
        "left_slots": stats.n_slots, "failure": failure,
    }  # fmt: skip
    lib.nbs_detach(seg)
    return result


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), int(sys.argv[2]))))
