"""Threads beside the executor: one that does queued jobs in order, one that only ever does the newest."""

import math
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from rclpy.task import Future

from edgevl_core.base.errors import UserError
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.parameters import NodeParameters

Item = TypeVar("Item")
FAILED = "failed"


async def in_thread(node: ManagedNode[NodeParameters], work: Callable[[], Any]) -> Any:
    """Run ``work`` in a thread of its own, while the executor goes on; its result, as of ``in_this_life``.

    The process does not end before ``work`` has: cut off inside a library's C++ it would crash.
    """
    future: Future[Any] = Future()
    threading.Thread(target=_run_into, args=(node, future, work), name="service work").start()
    return await in_this_life(node, future)


async def in_this_life(node: ManagedNode[NodeParameters], future: "Future[Any]") -> Any:
    """The future's result, for a service that goes on with it.

    Raises:
        UserError: the node was cleaned up meanwhile: its publishers are gone, its state is another's.
    """
    life = node.life
    result = await future
    if node.life != life:
        raise UserError(f"{node.get_name()} was cleaned up meanwhile: what was asked for has no effect")
    return result


def _run_into(node: Node, future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)
    executor = node.executor
    if executor is not None:
        executor.wake()  # the executor polls waiting coroutines; it must not sleep on


class QueueWorker:
    """Does jobs one after the other in one thread; a full queue refuses a job at once instead of blocking.

    Args:
        on_error: called in the thread with each exception a job raised.
        max_pending: jobs waiting beyond which ``offer`` refuses.
        max_bytes: what the jobs that wait and the one in progress may hold together; a job alone may always wait.
    """

    def __init__(
        self, node: Node, on_error: Callable[[Exception], None], max_pending: int, max_bytes: float = math.inf
    ) -> None:
        self._node = node
        self._on_error = on_error
        self._max_pending, self._max_bytes = max_pending, max_bytes
        self._offered_bytes = self._done_bytes = 0  # each counted by one thread
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="queue worker", daemon=True)
        self._thread.start()

    def pending(self) -> int:
        return self._jobs.qsize()

    def offer(self, job: Callable[[], Any], size: int = 0) -> bool:
        """Queue a job that holds ``size`` bytes, from one thread; False, and nothing done, where the queue is full."""
        held_bytes = self._offered_bytes - self._done_bytes
        if self._jobs.qsize() >= self._max_pending or (held_bytes and held_bytes + size > self._max_bytes):
            return False
        self._offered_bytes += size
        self._jobs.put((job, size))
        return True

    def call(self, job: Callable[[], Any]) -> "Future[Any]":
        """Queue a job behind the others, whatever their number; the future gets its result or exception."""
        future: Future[Any] = Future()
        self._jobs.put((lambda: _run_into(self._node, future, job), 0))
        return future

    def close(self) -> None:
        """Do what is queued, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (queued := self._jobs.get()) is not None:
            job, size = queued
            try:
                job()
            except Exception as error:
                self._on_error(error)
            del queued, job
            self._done_bytes += size


class NewestWorker(Generic[Item]):
    """Processes items in one thread; an item that waits is replaced by a newer one and counted as superseded.

    Args:
        process: called with an item in the thread; returns what became of it, one of ``outcomes``. An item that raises
            counts as "failed".
        on_error: called in the thread with each exception that ``process`` raised.
        outcomes: keys of ``counts``, beside "superseded" and "in_progress".
    """

    def __init__(
        self, process: Callable[[Item], str], on_error: Callable[[Exception], None], outcomes: tuple[str, ...]
    ) -> None:
        self._process = process
        self._on_error = on_error
        self._counts = Counter({"superseded": 0, FAILED: 0, **dict.fromkeys(outcomes, 0)})
        self._waiting: Item | None = None
        self._busy = False
        self._closing = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="newest worker", daemon=True)
        self._thread.start()

    def counts(self) -> dict[str, int]:
        """What became of the items offered so far; the numbers add up to how many there were, at any moment."""
        with self._change:
            return {**self._counts, "in_progress": int(self._busy) + int(self._waiting is not None)}

    def offer(self, item: Item) -> None:
        with self._change:
            if self._waiting is not None:
                self._counts["superseded"] += 1
            self._waiting = item
            self._change.notify()

    def close(self) -> None:
        """Process the waiting item, then end the thread."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._change:
                while self._waiting is None and not self._closing:
                    self._change.wait()
                item, self._waiting = self._waiting, None
                if item is None:
                    return
                self._busy = True
            outcome = FAILED
            try:
                outcome = self._process(item)
            except Exception as error:
                self._on_error(error)
            item = None  # images of many megabytes must not wait here for the next
            with self._change:
                self._busy = False
                self._counts[outcome] += 1
