"""Upload large files to a volume in parts, several at the same time; an interrupted upload can be resumed.

The SDK sends parts, too, but holds them in memory, does not limit its requests together with the others, and
cannot resume an upload in another process.
"""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kedro_databricks_hybrid.databricks.retry import Backoff
from kedro_databricks_hybrid.databricks.transport import storage_session
from kedro_databricks_hybrid.errors import ConnectionFailedError, WorkspaceError
from kedro_databricks_hybrid.parallel import run_all

if TYPE_CHECKING:
    from requests import Response

    from kedro_databricks_hybrid.databricks.client import Client
    from kedro_databricks_hybrid.transfer.upload import Source
    from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload

PART = 10 * 1024 * 1024
_URLS = 10  # signed URLs for one request
_LIFETIME = dt.timedelta(hours=1)
_TRIES = 8
_SECONDS = 60
_FORBIDDEN = 403
_PASSING = (408, 429, 500, 502, 503, 504)


class PartsRefusedError(WorkspaceError):
    """The workspace does not support parts by signed URLs, as in some networks and clouds."""


class PartsUpload:
    """The upload of one file in parts.

    Args:
        client: The SDK's client.
        target: The full path of the file in the volume.
    """

    def __init__(self, client: Client, target: str) -> None:
        self._client = client
        self._api = client.api_client
        self._storage = storage_session(client.api_client)
        self._target = target
        self._url = f"/api/2.0/fs/files{quote(target)}"
        self._lock = threading.Lock()
        self._signed: dict[int, tuple[str, dict[str, str]]] = {}

    def send(self, source: Source, unfinished: UnfinishedUpload) -> None:
        """Send the parts that have not arrived, and complete the upload.

        Raises:
            PartsRefusedError: The workspace does not support parts.
            ChangedError: The file was written to.
            DatabricksError: Databricks refused.
        """
        from databricks.sdk.errors.base import DatabricksError

        before = self._there()
        if unfinished.is_of_this_content and unfinished.records[0].get("target") == self._target:
            token = unfinished.records[0]["token"]
            etags = {record["part"]: record["etag"] for record in unfinished.records[1:]}
            try:
                self._send_parts(token, etags, source, unfinished)
            except (DatabricksError, PartsRefusedError):
                source.seek(0)  # the upload has expired
            else:
                return
        self.abort(unfinished)
        token = self._begin()
        unfinished.begin(target=self._target, token=token)
        try:
            self._send_parts(token, {}, source, unfinished)
        except DatabricksError:
            # If the answer got lost, the repeated request fails because the first one completed the upload.
            there = self._there()
            if there == before or there is None or there[0] != source.len:
                raise
        unfinished.forget()

    def abort(self, unfinished: UnfinishedUpload) -> None:
        """Abort an earlier upload, so that the cloud removes its parts."""
        import requests
        from databricks.sdk.errors.base import DatabricksError

        if unfinished.records:
            try:
                body = {
                    "path": unfinished.records[0]["target"],
                    "session_token": unfinished.records[0]["token"],
                    "expire_time": _expiry(),
                }
                answer = self._do("POST", "/api/2.0/fs/create-abort-upload-url", body=body)
                signed = answer["abort_upload_url"]
                self._client.silence.watch(
                    lambda: self._storage.delete(signed["url"], headers=_headers(signed), timeout=_SECONDS)
                )
            except (DatabricksError, requests.RequestException, KeyError):
                pass  # the cloud removes the parts later
            unfinished.forget()

    def _begin(self) -> str:
        answer = self._do("POST", self._url, query={"action": "initiate-upload", "overwrite": "true"})
        token = answer.get("multipart_upload", {}).get("session_token")
        if not token:
            raise PartsRefusedError(f"{self._target} cannot be sent in parts to this workspace.")
        return str(token)

    def _send_parts(
        self, token: str, etags: dict[int, str], source: Source, unfinished: UnfinishedUpload
    ) -> None:
        count = -(-source.len // PART)
        missing = [number for number in range(1, count + 1) if number not in etags]
        for number in set(range(1, count + 1)).difference(missing):
            source.skip(min(PART, source.len - (number - 1) * PART))

        def work(number: int) -> None:
            if not number:
                source.hash_whole()
                return
            offset = (number - 1) * PART
            with (
                source.part(offset, min(PART, source.len - offset)) as part,
                self._client.silence.outlasting(),
            ):
                etag = self._put(token, number, part)
            with self._lock:
                etags[number] = etag
                unfinished.note(part=number, etag=etag)

        run_all(work, [0, *missing])
        source.require_unchanged()
        self._do(
            "POST",
            self._url,
            query={"action": "complete-upload", "upload_type": "multipart", "session_token": token},
            body={"parts": [{"part_number": number, "etag": etags[number]} for number in sorted(etags)]},
        )
        unfinished.forget()

    def _put(self, token: str, number: int, part: Any) -> str:  # noqa: ANN401 - a stream with a length
        import requests

        refused = 0
        problem = ""
        backoff = Backoff(0.1, 5.0, factor=2)
        for _ in range(_TRIES):
            url, headers = self._signed_url(token, number)
            part.seek(0)
            try:
                answer = self._store(url, part, headers)
            except requests.RequestException as error:
                problem = f"no answer ({error})"
            else:
                if answer.ok:
                    return str(answer.headers.get("ETag", ""))
                problem = f"{answer.status_code} {answer.reason}"
                refused += answer.status_code == _FORBIDDEN
                if refused > 1 or answer.status_code not in {*_PASSING, _FORBIDDEN}:
                    raise PartsRefusedError(f"Could not send part {number} of {self._target}: {problem}.")
            with self._lock:
                self._signed.pop(number, None)  # it may have expired
            backoff.sleep()
        raise ConnectionFailedError(
            f"Could not send part {number} of {self._target}: {problem}.",
            hint="Push again: parts that arrived are kept.",
        )

    def _store(self, url: str, part: Any, headers: dict[str, str]) -> Response:  # noqa: ANN401 - a stream
        return self._client.silence.watch(
            lambda: self._storage.put(url, data=part, headers=headers, timeout=_SECONDS), part.tell
        )

    def _signed_url(self, token: str, number: int) -> tuple[str, dict[str, str]]:
        from databricks.sdk.errors import InternalError, PermissionDenied

        with self._lock:
            if number not in self._signed:
                body = {
                    "path": self._target,
                    "session_token": token,
                    "start_part_number": number,
                    "count": _URLS,
                    "expire_time": _expiry(),
                }
                try:
                    answer = self._do("POST", "/api/2.0/fs/create-upload-part-urls", body=body)
                except (PermissionDenied, InternalError) as error:
                    raise PartsRefusedError(f"{self._target} cannot be sent in parts: {error}") from error
                for each in answer.get("upload_part_urls", []):
                    self._signed[each["part_number"]] = (each["url"], _headers(each))
            if number not in self._signed:
                raise PartsRefusedError(f"{self._target} cannot be sent in parts to this workspace.")
            return self._signed[number]

    def _there(self) -> tuple[int, str] | None:
        """Return size and modification time of the existing file, None if there is none."""
        from databricks.sdk.errors import NotFound

        try:
            found = self._client.files.get_metadata(self._target)
        except NotFound:
            return None
        return found.content_length or 0, found.last_modified or ""

    def _do(self, method: str, path: str, **what: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        headers = {"Content-Type": "application/json", **self._client.workspace_headers}
        answer: Any = self._api.do(method, path, headers=headers, **what)
        return dict(answer)


def _headers(signed: dict[str, Any]) -> dict[str, str]:
    given = {each["name"]: each["value"] for each in signed.get("headers", [])}
    return {"Content-Type": "application/octet-stream", **given}


def _expiry() -> str:
    return (dt.datetime.now(tz=dt.timezone.utc) + _LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
