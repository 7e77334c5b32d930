"""The one adapter through which all requests pass: it limits them, and checks every answer.

The SDK has no public way to set the adapter of its session, so this module knows that session's attribute.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
from requests import Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError,  # noqa: A004
    Timeout,
)

from kedro_databricks_hybrid.databricks import answers
from kedro_databricks_hybrid.databricks.answers import UnexpectedAnswer
from kedro_databricks_hybrid.errors import ConnectionFailedError
from kedro_databricks_hybrid.parallel import CONCURRENCY

if TYPE_CHECKING:
    from databricks.sdk.core import ApiClient
    from requests import PreparedRequest

    from kedro_databricks_hybrid.databricks.silence import Silence

_APPEND = "/dbfs/add-block"
_THROTTLED = (429, 503)
_MOST_SECONDS = 3600
_MOST_PAGES = 10_000
_ANY = "https://x"
_BLOCK_SIZE = 256 * 1024
_HAS_BLOCK_SIZE = 2  # urllib3's version
_SHOWN = 300
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_CODE = re.compile(r"(?P<code>[A-Z_]{3,}): (?P<message>.*)", re.DOTALL)
_REFUSAL = ("error_code", "message", "error", "detail", "status", "scimType")


class AppendLostError(ConnectionFailedError):
    """A request that appends a block got no answer: the block may or may not have been stored."""


class Answer(Response):
    """An answer whose JSON has the fields and types that the client reads, and whose refusal is readable."""

    @property
    def content(self) -> bytes:
        """The body; that of a refusal is a JSON object, whatever was received.

        The SDK prints the request beside a refusal that it cannot read, and a request may hold a token.
        """
        received = super().content or b""
        return received if self.ok else _refusal(received, self.status_code, self.reason)

    def json(self, **kwargs: Any) -> Any:  # noqa: ANN401 - requests' own signature
        """Return the body's JSON.

        Raises:
            UnexpectedAnswer: It is no JSON, or not what the API documents.
        """
        try:
            document = super().json(**kwargs)
        except (ValueError, RecursionError):
            raise UnexpectedAnswer(f"is not JSON: {_text(self.content)!r}") from None
        if not isinstance(document, (dict, list)):
            raise UnexpectedAnswer(f"is not a JSON object: {_text(self.content)!r}")
        return answers.accept(document, self.request.method or "", self.request.url or "")


class Transport(HTTPAdapter):
    """Limits the requests in flight, delays all by the Retry-After of any answer, and never repeats appends.

    The SDK repeats every request that got no answer. Repeating an append could store a block twice, so it is
    raised as an error that the SDK does not repeat. An incomplete answer counts as no answer.

    Args:
        silence: Learns why the server does not answer.
    """

    def __init__(self, silence: Silence) -> None:
        super().__init__(pool_connections=4, pool_maxsize=CONCURRENCY * 2)
        self._silence = silence
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._slots = threading.BoundedSemaphore(CONCURRENCY)
        self._pages: Counter[str] = Counter()
        self._date = ""
        self.seconds = 0
        """The server's time in its last answer, in seconds since 1970; 0 if it is unknown."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own signature
        """Send bodies in larger blocks than urllib3's default, where its version allows that."""
        if int(vars(urllib3)["__version__"].partition(".")[0]) >= _HAS_BLOCK_SIZE:
            kwargs["blocksize"] = _BLOCK_SIZE
        super().init_poolmanager(*args, **kwargs)

    def build_response(self, req: PreparedRequest, resp: Any) -> Answer:  # noqa: ANN401 - requests' own
        """Return an answer that checks itself."""
        answer = Answer()
        vars(answer).update(vars(super().build_response(req, resp)))
        return answer

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' own signature
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Response:
        """Send a request when a slot is free and no Retry-After lasts.

        Raises:
            UnexpectedAnswer: The answer is empty, or redirects a write.
            SandboxError: No answer came, as the sandbox's process has ended.
        """
        self._count_page(request)
        with self._slots:
            self._wait()
            try:
                response = super().send(request, stream, *args, **kwargs)
                if not stream:
                    _ = response.content
            except (ConnectionError, ChunkedEncodingError, Timeout) as error:
                self._silence.failed(network_message(error))
                if _APPEND in (request.path_url or ""):
                    raise AppendLostError(f"No answer to an append ({error}).") from error
                if isinstance(error, ChunkedEncodingError):
                    raise ConnectionError(error, request=request) from error
                raise
            if response.status_code in _THROTTLED:
                why = json.loads(response.content).get("message") or str(response.status_code)
                self._silence.failed(why, "accepted the request")
                response.headers["Retry-After"] = str(self._hold(response.headers.get("Retry-After")))
        _check(response, stream=stream)
        self._note_time(response.headers.get("Date", ""))
        return response

    def _note_time(self, date: str) -> None:
        if date == self._date:  # as often as not: it changes once a second
            return
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            self._date, self.seconds = date, int(parsedate_to_datetime(date).timestamp())

    def _count_page(self, request: PreparedRequest) -> None:
        """Refuse a listing whose pages do not end."""
        address = urlsplit(request.url or "")
        if "page_token=" not in address.query:
            self._pages.pop(address.path, None)
            return
        self._pages[address.path] += 1
        if self._pages[address.path] > _MOST_PAGES:
            raise UnexpectedAnswer(f"has more than {_MOST_PAGES:,} pages")

    def _wait(self) -> None:
        while (seconds := self._not_before - time.monotonic()) > 0:
            time.sleep(seconds)

    def _hold(self, retry_after: str | None) -> int:
        is_number = retry_after is not None and retry_after.isascii() and retry_after.isdigit()
        seconds = min(int(retry_after[:6]), _MOST_SECONDS) if retry_after and is_number else 1
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
        return seconds


def _check(response: Response, *, stream: bool) -> None:
    """Check what is not in an answer's JSON."""
    method = response.request.method
    if response.is_redirect and (method not in {"GET", "HEAD"} or not response.headers["Location"].isascii()):
        raise UnexpectedAnswer(f"redirects to {response.headers['Location']!r}")
    if not response.headers.get("Content-Length", "0").isdigit():
        raise UnexpectedAnswer(f"has the length {response.headers['Content-Length']!r}")
    if response.ok and method == "GET" and not stream and not response.content:
        raise UnexpectedAnswer("is empty")


def _refusal(content: bytes, status: int, reason: str) -> bytes:
    """Return the body of a refusal as a JSON object, with its text as the message if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        said = {name: found[name] for name in _REFUSAL if found.get(name) is not None}
        fields = {
            name: value if isinstance(value, str) else json.dumps(value)[:_SHOWN]
            for name, value in said.items()
        }
    elif code := _CODE.match(text := _text(content)):
        fields = code.groupdict()
    else:
        fields = {"error_code": f"HTTP_{status}", "message": text or reason}
    return json.dumps(fields).encode()


def _text(content: bytes) -> str:
    """Return the beginning of a body without HTML tags."""
    return " ".join(_TAG.sub(" ", content[: 20 * _SHOWN].decode("utf-8", "replace")).split())[:_SHOWN]


def is_busy(error: BaseException | None) -> bool:
    """Tell whether Databricks refused a request because it is busy, or failed itself."""
    from databricks.sdk.errors import platform

    busy_or_failed = (
        platform.InternalError,
        platform.TooManyRequests,
        platform.TemporarilyUnavailable,
        platform.DeadlineExceeded,
    )
    return isinstance(error, busy_or_failed)


def network_message(error: BaseException) -> str:
    """Return the operating system's error message of a failed connection, without Python's wrapping."""
    message = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
    found = re.search(r"\[Errno -?\d+\] (?P<said>[^'\"()\[\]]+)", message)
    return found["said"].strip() if found else message


def mount(api: ApiClient, silence: Silence) -> Transport:
    """Send all requests of an API client through a transport, and return it.

    Args:
        api: The API client.
        silence: Learns why the server does not answer.
    """
    transport = Transport(silence)
    _mount(_session_of(api), transport)
    return transport


def storage_session(api: ApiClient) -> Session:
    """Return a session without a login, for signed URLs; it shares the client's transport."""
    storage = Session()
    _mount(storage, _session_of(api).get_adapter(_ANY))
    return storage


def _session_of(api: ApiClient) -> Session:
    session = getattr(getattr(api, "_api_client", None), "_session", None)
    if not isinstance(session, Session):
        raise ConnectionFailedError(
            "The installed version of databricks-sdk does not let its answers be checked.",
            hint="Install an earlier one, or a newer version of this package.",
        )
    return session


def _mount(session: Session, adapter: Any) -> None:  # noqa: ANN401 - requests says no type
    session.mount("https://", adapter)
    session.mount("http://", adapter)
