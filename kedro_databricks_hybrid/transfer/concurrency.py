"""Run many requests at once, no more than the APIs allow, and stop at once when told to.

When Databricks asks one request to wait, all of them wait.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import urllib3
from requests import Session
from requests.adapters import HTTPAdapter
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError,  # noqa: A004
    Timeout,
)

from kedro_databricks_hybrid.errors import ConnectionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from requests import PreparedRequest, Response

    from kedro_databricks_hybrid.databricks.client import Client

    Item = TypeVar("Item")
    Result = TypeVar("Result")

CONCURRENCY = 10
"""Requests in flight: about what the Files API allows."""
_APPEND = "/dbfs/add-block"
_THROTTLED = (429, 503)
_ANY = "https://x"
_PIECE = 256 * 1024
_HAS_PIECES = 2  # urllib3's version


def run_all(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for each item, ten at a time, and return the results in the items' order.

    Its threads do not keep the process alive: on Ctrl-C the KeyboardInterrupt leaves at once, and whatever
    waits for an answer is given up.

    Raises:
        BaseException: The first error of a call; calls that were under way have ended, no others began.
    """
    if len(items) == 1:
        return [function(items[0])]
    work = _Work(function, items)
    threads = [
        threading.Thread(target=work.take_all, name=f"transfer-{number}", daemon=True)
        for number in range(min(CONCURRENCY, len(items)))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        work.stopped.set()
    if work.error is not None:
        raise work.error
    return cast("list[Result]", work.results)


def both(first: Callable[[], Item], second: Callable[[], Result]) -> tuple[Item, Result]:
    """Call two functions at the same time and return what both return."""
    one, other = run_all(lambda call: call(), [cast("Callable[[], object]", first), second])
    return cast("tuple[Item, Result]", (one, other))


class _Work:
    """The items that are left, and what came of the others."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function = cast("Callable[[object], object]", function)
        self._items = enumerate(items)
        self._lock = threading.Lock()
        self.results: list[object] = [None] * len(items)
        self.error: BaseException | None = None
        self.stopped = threading.Event()

    def take_all(self) -> None:
        while not self.stopped.is_set():
            with self._lock:
                index, item = next(self._items, (-1, None))
            if index < 0:
                return
            try:
                self.results[index] = self._function(item)
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                with self._lock:
                    self.error = self.error or error
                self.stopped.set()


class AppendLostError(ConnectionFailedError):
    """No answer to a request that appended a block: nobody knows whether the block is there."""


class PacedAdapter(HTTPAdapter):
    """Holds back every request while Retry-After of any answer lasts, and never repeats an append.

    The SDK repeats whatever got no answer. For an append that would be wrong, so that one leaves as an error
    which the SDK does not repeat. An answer that was cut off counts as no answer.
    """

    def __init__(self) -> None:
        super().__init__(pool_connections=4, pool_maxsize=CONCURRENCY * 2)
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._places = threading.BoundedSemaphore(CONCURRENCY)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own signature
        """Send bodies in larger pieces than urllib3 does by itself, where it can."""
        if int(vars(urllib3)["__version__"].partition(".")[0]) >= _HAS_PIECES:
            kwargs["blocksize"] = _PIECE
        super().init_poolmanager(*args, **kwargs)

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' own signature
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Response:
        """Send a request when its time has come."""
        with self._places:
            self._wait()
            try:
                response = super().send(request, stream, *args, **kwargs)
                if not stream:
                    _ = response.content
            except (ConnectionError, ChunkedEncodingError, Timeout) as error:
                if _APPEND in (request.path_url or ""):
                    raise AppendLostError(f"No answer to an append ({error}).") from error
                if isinstance(error, ChunkedEncodingError):
                    raise ConnectionError(error, request=request) from error
                raise
            if response.status_code in _THROTTLED:
                self._hold(response.headers.get("Retry-After"))
            return response

    def _wait(self) -> None:
        while (seconds := self._not_before - time.monotonic()) > 0:
            time.sleep(seconds)

    def _hold(self, retry_after: str | None) -> None:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)


def keep_pace(client: Client) -> None:
    """Let all requests of a client keep one pace.

    The SDK offers no public place for this; without the one that it has, each request waits for itself.
    """
    session = _session_of(client)
    if session is not None and not isinstance(session.get_adapter(_ANY), PacedAdapter):
        _mount(session, PacedAdapter())


def storage_session(client: Client) -> Session:
    """Return a session for signed addresses, which want no login, at the pace of a client's requests."""
    session = _session_of(client)
    adapter = session.get_adapter(_ANY) if session is not None else PacedAdapter()
    storage = Session()
    _mount(storage, adapter)
    return storage


def _session_of(client: Client) -> Session | None:
    session = getattr(getattr(client.api_client, "_api_client", None), "_session", None)
    return session if isinstance(session, Session) else None


def _mount(session: Session, adapter: Any) -> None:  # noqa: ANN401 - requests says no type
    session.mount("https://", adapter)
    session.mount("http://", adapter)
