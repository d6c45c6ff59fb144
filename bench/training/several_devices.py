"""One training over several processes, each with a part of every batch (`--devices N`).

Networks are not wrapped. Every process draws the same whole batch and takes its rows; between backward and the
optimisers' steps, gradients and losses are averaged, so that all processes make the same step. The first process leads:
it alone writes, and it ends the others, which hold nothing that is not in its state.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_leaves

from bench.core.progress import hand_progress_to

Order = TypeVar("Order")
PATIENCE = timedelta(minutes=10)
"""Time that a process waits for the others in an exchange."""
ENDING_SECONDS = 5.0
"""Seconds that the leader waits for the reason of a lost process."""


class ProcessLost(Exception):
    """Another process of the training has ended; the text says which one and why."""


class Processes:
    """The processes of one training, seen from one of them."""

    def __init__(self, torch_group: Any, rank: int, size: int, device: torch.device) -> None:
        """`torch_group`: a torch ProcessGroup for tensors on `device`."""
        self.torch_group, self.rank, self.size, self.device = torch_group, rank, size, device

    def part(self, batch: Any, rows: Sequence[str]) -> Any:
        """This process's rows of the fields `rows` of `batch`: rank, rank + size, ...; the other fields as they are.

        Every size-th row and not a block: the first rows of all parts are the first rows of the batch, as R1 on a
        share of it needs.
        """
        return replace(batch, **{name: getattr(batch, name)[self.rank :: self.size].contiguous() for name in rows})

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one exchange."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.torch_group.allreduce([flat]).wait()
        flat.div_(self.size)
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def check_same(self, parts: Mapping[str, Any], step: int) -> None:
        """Raise RuntimeError if a tensor in `parts` (name -> anything that contains tensors) is not the same in all."""
        digests = torch.tensor([_digest(part) for part in parts.values()], device=self.device)
        gathered = [torch.empty_like(digests) for _ in range(self.size)]
        self.torch_group.allgather([gathered], [digests]).wait()
        for rank, other in enumerate(gathered):
            differing = [name for name, same in zip(parts, (other == gathered[0]).tolist(), strict=True) if not same]
            if differing:
                raise RuntimeError(f"process {rank} has another {differing[0]} than process 0 at step {step}")


def _digest(part: Any) -> int:
    """63 bits of a hash over the bytes of all tensors in `part`."""
    whole = hashlib.sha256()
    for leaf in tree_leaves(part):
        if isinstance(leaf, Tensor):
            whole.update(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return int.from_bytes(whole.digest()[:8], "big") >> 1


def join_devices(folder: Path, rank: int, size: int, device: torch.device) -> Processes:
    """The `size` processes that call this with the same empty `folder`; waits for all of them.

    They meet through a file, and on the CPU speak through sockets of this machine's own address (gloo). On GPUs: NCCL.
    """
    store = dist.FileStore(str(folder / "store"), size)
    if device.type == "cuda":
        options = dist.ProcessGroupNCCL.Options()
        options._timeout = PATIENCE
        return Processes(dist.ProcessGroupNCCL(store, rank, size, options), rank, size, device)
    gloo: Any = dist.ProcessGroupGloo
    options = gloo._Options()
    options._devices = [gloo.create_device(hostname="127.0.0.1")]
    options._timeout = PATIENCE
    return Processes(gloo(store, rank, size, options), rank, size, device)


Join = Callable[[torch.device], Processes]
Follow = Callable[[Order, int, Join], None]
"""Work of a process other than the first, given the order, its rank, and the function that joins the others."""


@contextmanager
def leading_devices(follow: Follow[Order], order: Order, size: int, device: torch.device) -> Iterator[Processes]:
    """Start `size` - 1 processes that each call `follow(order, rank, join)`; yields the processes once all have joined.

    They end with the context, whatever ends it. Raises ProcessLost if one of them ends before that.
    """
    context = get_context("spawn")
    with TemporaryDirectory(prefix="udt-bench-") as folder:
        followers = [_Follower(context, follow, order, rank, size, folder) for rank in range(1, size)]
        try:
            for follower in followers:
                follower.wait_until_ready()
            yield join_devices(Path(folder), 0, size, device)
        except RuntimeError as error:  # what an exchange raises when the other side is gone, and much else
            lost = [text for follower in followers if (text := follower.lost())]
            if lost:
                raise ProcessLost("; ".join(lost)) from error
            raise
        finally:
            for follower in followers:
                follower.end()


class _Follower:
    """A process other than the first, as the first one sees it."""

    def __init__(self, context: Any, follow: Any, order: Any, rank: int, size: int, folder: str) -> None:
        self.name = f"process {rank + 1} of {size}"
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_following, args=(follow, order, rank, size, folder, sender))
        self.process.start()
        sender.close()

    def wait_until_ready(self) -> None:
        """Wait until it is about to join. Raises ProcessLost if it ends before."""
        wait([self.receiver])  # also when it is closed, that is: at the end of the process
        try:
            message = self.receiver.recv()
        except (EOFError, OSError):
            message = None
        if message != "":
            raise ProcessLost(f"{self.name} {message or self._ended()}")

    def lost(self) -> str:
        """Text that says that the process ended and why; empty if it runs."""
        self.process.join(ENDING_SECONDS)
        if self.process.is_alive():
            return ""
        try:
            return f"{self.name} {self.receiver.recv()}"
        except (EOFError, OSError):
            return f"{self.name} {self._ended()}"

    def _ended(self) -> str:
        self.process.join()
        code = self.process.exitcode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def end(self) -> None:
        """Kill the process at once: it holds nothing that the first process lacks."""
        self.process.kill()
        self.process.join()
        self.receiver.close()


def _following(follow: Follow[Any], order: Any, rank: int, size: int, folder: str, sender: Connection) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a terminal or job: the first process decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hand_progress_to(lambda message: None)  # the first process reports for all

    def join(device: torch.device) -> Processes:
        sender.send("")
        return join_devices(Path(folder), rank, size, device)

    try:
        follow(order, rank, join)
    except BaseException as error:
        sender.send(f"failed: {type(error).__name__}: {error}")
        sys.exit(1)
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])  # until it is ended: the first process may still be in the last exchange


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
