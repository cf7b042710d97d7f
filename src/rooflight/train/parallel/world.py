"""The processes of a run: how they meet, agree, part after a failure, and find out who is gone."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from rooflight.core.errors import PeerError
from rooflight.core.parallel import Parallel
from rooflight.train.parallel.launch import Launch

ANSWER_SECONDS = 5.0  # that those who are left wait for each other's sign
OPEN_FILES = "/proc/self/fd"  # Linux's
# What gloo and NCCL say when a peer closed its connection, went silent or was cut off.
CONNECTION_WORDS = ("gloo", "closed by peer", "Connection reset", "NCCL", "timed out", "Timed out", "Broken pipe")


class World:
    """Two kinds of connection: a small one that outlives failures, on which ranks agree, and those that tensors take.

    A rank that runs out of memory in the middle of a step leaves the others waiting in a collective. It says so in the
    store, closes its tensor connections, and the others' collectives fail; they see what was said, close theirs, and
    all meet again on new ones.
    """

    def __init__(self, launch: Launch, form: Parallel, device: torch.device, *, timeout_seconds: float) -> None:
        """timeout_seconds: how long a peer may be silent before it counts as gone."""
        self.launch, self.form, self.device = launch, form, device
        self.timeout_seconds = timeout_seconds
        timeout = timedelta(seconds=timeout_seconds)
        store, _, _ = next(rendezvous("env://", timeout=timeout))
        # torchrun's store outlives the processes: what those before a restart left in it is not ours.
        self.store = PrefixStore(f"rooflight/{launch.restarts}", store)
        self.hosts = ["a host that did not come"] * launch.world_size
        self.generation = 0
        self.mesh: DeviceMesh
        with self.watched():
            self.hosts = self._exchange("host", socket.gethostname())
            self.control = dist.ProcessGroupGloo(
                PrefixStore("control", self.store), launch.rank, launch.world_size, timeout
            )
            self.connect()

    def connect(self) -> None:
        """Open the connections that tensors take, and the mesh of ranks over them."""
        before = _sockets()
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo",
            store=PrefixStore(f"tensors/{self.generation}", self.store),
            rank=self.launch.rank,
            world_size=self.launch.world_size,
            timeout=timedelta(seconds=self.timeout_seconds),
        )
        form = self.form
        # Tensor innermost: its ranks exchange most, and neighbours are on the same host.
        self.mesh = init_device_mesh(
            self.device.type, (form.pipeline, form.data, form.tensor), mesh_dim_names=("pipeline", "data", "tensor")
        )
        self._tensor_sockets = _sockets() - before

    def disconnect(self) -> None:
        """Close those connections, so that whoever waits on one of them stops."""
        if self.device.type == "cuda":
            dist.distributed_c10d._abort_process_group()
        # gloo has no abort, and keeps a connection open as long as anything refers to it: close what lies under it.
        for number, name in self._tensor_sockets & _sockets():
            del name
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as connection:
                connection.getpeername()  # fails for the listening one, which gloo's thread must not lose
                connection.shutdown(socket.SHUT_RDWR)
        if dist.is_initialized():
            dist.destroy_process_group()
        self.generation += 1

    def announce(self) -> None:
        """Say that this rank could not finish the step, before its connections close."""
        self.store.add(f"failed/{self.generation}", 1)  # unlike a set, it waits until the store has it

    def announced(self) -> bool:
        """Has any rank said so? No, as far as is known, where the store does not answer."""
        return any(_answer(lambda: [self.store.check([f"failed/{self.generation}"])]))

    def sum(self, number: int) -> int:
        """The sum over all ranks, exchanged by the hosts: the device goes on meanwhile."""
        value = torch.tensor([number], dtype=torch.int64)
        with self.watched():
            self.control.allreduce([value]).wait()  # type: ignore[attr-defined]  # a method of all backends
        return int(value)

    def tell(self, name: str, word: str) -> str:
        """Rank 0's word, on all ranks."""
        if self.launch.is_main:
            self.store.set(f"told/{name}", word)
        return str(self.store.get(f"told/{name}").decode())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A failure of a connection in it is told as who is gone.

        raises  PeerError
        """
        try:
            yield
        except RuntimeError as error:
            if not is_connection_error(error):
                raise
            raise PeerError(self.who_is_gone()) from None

    def who_is_gone(self) -> str:
        """One sentence. Those who are left sign in the store; whose sign is missing is gone."""
        signs = _answer(self._signs)
        gone = [rank for rank in range(self.launch.world_size) if rank not in signs] if signs else []
        if not signs:
            what = f"the host of rank 0 ({self.hosts[0]}), where the ranks meet, cannot be reached"
        elif gone:
            names = ", ".join(f"rank {rank} on {self.hosts[rank]}" for rank in gone)
            what = f"{names} {'are' if len(gone) > 1 else 'is'} gone: stopped, killed or cut off"
        else:
            what = "a connection between the ranks broke, though all are still there"
        return (
            f"rank {self.launch.rank} on {self.hosts[self.launch.rank]} stops: {what}. The last checkpoint is whole; "
            "try the same command again, or torchrun --max-restarts 3, which does it by itself."
        )

    def close(self) -> None:
        """At the end of a run. All ranks leave together: rank 0 may hold the store that the others still ask."""
        with self.watched():
            self.sum(0)
        self.disconnect()

    def _signs(self) -> list[int]:
        key = f"left/{self.generation}"
        self.store.set(f"{key}/{self.launch.rank}", "1")
        keys = [f"{key}/{rank}" for rank in range(self.launch.world_size)]
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.store.check(keys) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [rank for rank, key in enumerate(keys) if self.store.check([key])]

    def _exchange(self, name: str, value: str) -> list[str]:
        self.store.set(f"{name}/{self.launch.rank}", value)
        return [self.store.get(f"{name}/{rank}").decode() for rank in range(self.launch.world_size)]


def is_connection_error(error: BaseException) -> bool:
    """Is it the connection to a peer that failed, and not the model?"""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in CONNECTION_WORDS)


def _answer(ask: Callable[[], list[Any]]) -> list[Any]:
    """What the store says; nothing after a while. In a thread: a store on a host that was cut off never answers."""
    found: list[Any] = []
    asker = threading.Thread(target=lambda: found.extend(ask()), daemon=True)
    asker.start()
    asker.join(2 * ANSWER_SECONDS)
    return found


def _sockets() -> set[tuple[int, str]]:
    """(number, name) of each open socket of this process; the name keeps a number that was used again apart."""
    found = set()
    for number in os.listdir(OPEN_FILES) if os.path.isdir(OPEN_FILES) else ():
        with suppress(OSError):
            name = os.readlink(f"{OPEN_FILES}/{number}")
            if name.startswith("socket:"):
                found.add((int(number), name))
    return found
