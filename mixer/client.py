"""The journal over HTTP: a run's ledger from the mixer's service, for trainers that do not write to the store.

Always holds: the entries are those of the run's one log, in its order; what was fetched once is never asked for again, so
a trainer goes on with the segments it holds while the service is away.
"""

import time
from typing import Any

from mixer.errors import RunEnded, RunError, StepError, WaitError
from mixer.ledger import Ledger

TIMEOUT_S = 10.0
RETRY_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
ERRORS = {"StepError": StepError, "RunEnded": RunEnded, "WaitError": WaitError}


class ServiceJournal:
    """One run behind one service, as `Journal` is for a reader. `patience_s`: how long an absent service is retried."""

    def __init__(self, service: str, run: str, *, patience_s: float = 300.0) -> None:
        self.service, self.run, self.ledger = service.rstrip("/"), run, Ledger()
        self._patience_s = patience_s
        self.refresh()

    @property
    def written(self) -> int:
        """Batches that segments of the log cover."""
        return self.ledger.end

    def refresh(self) -> None:
        """Takes in what was written since."""
        self._take(self._ask("GET", "ledger", {"start": self.ledger.length}))

    def ensure(self, step: int, *, wait_s: float = 0.0, patience_s: float | None = None) -> None:
        """Has the ledger cover `step`. Raises: StepError, RunEnded, WaitError, RunError when the service stays away.

        `patience_s`: how long an absent service is retried this time.
        """
        if 0 <= step < self.ledger.end:
            return
        deadline = time.monotonic() + wait_s
        while not 0 <= step < self.ledger.end:
            try:
                self._take(self._ask("POST", "segments", {"step": step, "start": self.ledger.length}, patience_s))
            except WaitError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(RETRY_WAIT_S)

    def _take(self, bodies: list[dict[str, Any]]) -> None:
        self.ledger.add(bodies)

    def _ask(self, method: str, what: str, values: dict[str, int], patience_s: float | None = None) -> list[dict[str, Any]]:
        """A list of bodies. Retries while the service is away. Raises: what the service says, RunError."""
        import httpx

        url, wait_s = f"{self.service}/api/runs/{self.run}/{what}", RETRY_WAIT_S
        patience_s = self._patience_s if patience_s is None else patience_s
        deadline = time.monotonic() + patience_s
        while True:
            try:
                given: dict[str, Any] = {"params": values} if method == "GET" else {"json": values}
                answer = httpx.request(method, url, timeout=TIMEOUT_S, **given)
                if answer.status_code < 500:
                    break
                said = f"answered {answer.status_code}"
            except httpx.HTTPError as error:
                said = type(error).__name__
            if time.monotonic() + wait_s > deadline:
                raise RunError(
                    f"mixer service {self.service} is away ({said}) for {patience_s:g} s; start it with phasemix up, "
                    "or read the root directly"
                )
            time.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
        body: Any = answer.json()
        if answer.status_code >= 400:
            raise ERRORS.get(body.get("kind", ""), RunError)(body.get("error", f"{url} answered {answer.status_code}"))
        found: list[dict[str, Any]] = body
        return found
