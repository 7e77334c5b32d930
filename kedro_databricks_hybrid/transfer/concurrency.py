"""Limit the requests that are in flight: ten at a time, and none while Databricks asks to wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3
from requests import Session
from requests.adapters import HTTPAdapter
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError,  # noqa: A004
    Timeout,
)

from kedro_databricks_hybrid.errors import ConnectionFailedError
from kedro_databricks_hybrid.parallel import CONCURRENCY

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from kedro_databricks_hybrid.databricks.client import Client

_APPEND = "/dbfs/add-block"
_THROTTLED = (429, 503)
_ANY = "https://x"
_BLOCK_SIZE = 256 * 1024
_HAS_BLOCK_SIZE = 2  # urllib3's version


class AppendLostError(ConnectionFailedError):
    """A request that appends a block got no answer: the block may or may not have been stored."""


class PacedAdapter(HTTPAdapter):
    """Limits the requests in flight, delays all by the Retry-After of any answer, and never repeats appends.

    The SDK repeats every request that got no answer. Repeating an append could store a block twice, so it is
    raised as an error that the SDK does not repeat. An incomplete answer counts as no answer.
    """

    def __init__(self) -> None:
        super().__init__(pool_connections=4, pool_maxsize=CONCURRENCY * 2)
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._slots = threading.BoundedSemaphore(CONCURRENCY)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own signature
        """Send bodies in larger blocks than urllib3's default, where its version allows that."""
        if int(vars(urllib3)["__version__"].partition(".")[0]) >= _HAS_BLOCK_SIZE:
            kwargs["blocksize"] = _BLOCK_SIZE
        super().init_poolmanager(*args, **kwargs)

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' own signature
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Response:
        """Send a request when a slot is free and no Retry-After lasts."""
        with self._slots:
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
    """Let all requests of a client share one PacedAdapter.

    The SDK has no public way to set its session's adapter. If its private session is not found, requests are
    paced one by one.
    """
    session = _session_of(client)
    if session is not None and not isinstance(session.get_adapter(_ANY), PacedAdapter):
        _mount(session, PacedAdapter())


def storage_session(client: Client) -> Session:
    """Return a session without a login, for signed URLs; it shares the client's PacedAdapter."""
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
