"""A bundle handed to the classifier: waits for its service, asks, and tells how it went, without ever blocking."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edgevl.srv import LoadBundle
from rclpy.client import Client
from rclpy.task import Future

from edgevl_core.adaptation.records import BundleRef

FIND_SERVICE_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of it: "absent" where nobody offers the service, "abandoned" where the node stopped meanwhile."""

    state: Literal["loaded", "refused", "absent", "abandoned"]
    message: str
    bundle_id: str = ""


class BundleLoader:
    """One bundle on its way.

    Args:
        bundle: refused where another one lies at its path.
        timeout_s: how long the classifier may take to load and test it.
        then: called once, with the outcome.
    """

    def __init__(
        self, client: "Client[Any, Any]", bundle: BundleRef, timeout_s: float, then: Callable[[Outcome], None]
    ) -> None:
        self._client, self._bundle, self._timeout_s, self._then = client, bundle, timeout_s, then
        self._answer: Future[Any] | None = None
        self._deadline_s = time.monotonic() + FIND_SERVICE_S
        self._done = False

    def poll(self) -> bool:
        """Go on; True once the outcome is known."""
        if self._done:
            return True
        late = time.monotonic() > self._deadline_s
        service = self._client.srv_name
        if self._answer is None and self._client.service_is_ready():
            self._answer = self._client.call_async(
                LoadBundle.Request(path=self._bundle.path, bundle_id=self._bundle.id)
            )
            self._deadline_s = time.monotonic() + self._timeout_s
        elif self._answer is None and late:
            self._finish(Outcome("absent", f"bundle not loaded yet: nobody offers {service}"))
        elif self._answer is not None and self._answer.done():
            answer: Any = self._answer.result()
            self._finish(Outcome("loaded" if answer.ok else "refused", answer.message, answer.bundle_id))
        elif self._answer is not None and late:
            self._client.remove_pending_request(self._answer)
            self._finish(Outcome("refused", f"{service} did not answer in {self._timeout_s:g} s"))
        return self._done

    def abandon(self) -> None:
        """The node stops: whoever waits is told."""
        if self._answer is not None:
            self._client.remove_pending_request(self._answer)
        self._finish(Outcome("abandoned", "adaptation_manager was stopped"))

    def _finish(self, outcome: Outcome) -> None:
        self._done = True
        self._then(outcome)
