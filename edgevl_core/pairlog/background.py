"""One job at a time beside the caller, on a thread of its own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class OneAtATime:
    """A thread that does one job; what the job raises comes out where it is waited for."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._job: Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether the last job is still being done."""
        return self._job is not None and not self._job.done()

    def start(self, job: Callable[[], None]) -> None:
        """Begin a job. Waits for the one before, and raises what that raised."""
        self.wait()
        self._job = self._thread.submit(job)

    def wait(self) -> None:
        """Until the last job is done; raises what it raised, once."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self) -> None:
        """End the thread when its job is done."""
        self._thread.shutdown()
