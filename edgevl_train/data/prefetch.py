"""Prepares the next item in the background while the current one is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(source: Iterator[T]) -> Iterator[T]:
    """The items of ``source`` in their order, each made by one background thread while the one before is used.

    torch and numpy let go of Python's lock in their operations, so a thread is enough. An exception in
    ``source`` is raised here when its item is due.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, source, end)
            yield item  # type: ignore[misc]
