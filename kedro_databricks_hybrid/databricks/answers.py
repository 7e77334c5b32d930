"""The answers that the client accepts: their fields and types, by endpoint. Pure.

The transport checks every answer here before anything reads it. Fields that this module does not name are
removed, so no other code, the SDK's included, depends on their types.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath

Shape = Any
"""What a value must be.

    str, bool, int          that type; a bool is no int
    range(a, b)             an int in that range
    Between(a, b)           a number between these
    LINE                    text for people, whose control characters are replaced with escapes
    [shape]                 a list of such values
    {str: shape}            an object with any names and such values
    Object(...)             an object with these fields
    object                  anything
    None                    an object of which nothing is read
"""

SIZE = range(2**63)
"""Bytes."""

MILLISECONDS = range(253_402_300_800_000)
"""A time in ms since 1970, up to the year 9999, the last that Python's dates have."""

_MOST_LEVELS = 200
_NAMES = {str: "text", bool: "true or false", int: "a whole number"}


LINE = "line"


@dataclass(frozen=True)
class Between:
    """A number that is at least `low` and less than `high`."""

    low: float
    high: float


SECONDS = Between(0, 253_402_300_800)
"""Seconds since 1970, up to the year 9999."""


class UnexpectedAnswer(Exception):  # noqa: N818 - `translated` makes an UnexpectedAnswerError of it
    """An answer is not what the API documents; the message completes "The answer ..."."""


@dataclass(frozen=True)
class Object:
    """An object: fields that it must have, and fields that it may have or that may be null.

    Args:
        required: Names and shapes of the first.
        optional: Names and shapes of the second.
        is_listing: Whether to refuse an object that has other fields, but none of these: it is no empty list.
        keeps_others: Whether other fields are kept as they are.
    """

    required: Mapping[str, Shape] = field(default_factory=dict)
    optional: Mapping[str, Shape] = field(default_factory=dict)
    is_listing: bool = False
    keeps_others: bool = False


def listing(**optional: Shape) -> Object:
    """Return the shape of a page of a listing, which may be the last."""
    return Object(optional={"next_page_token": str, **optional}, is_listing=True)


_DBFS_FILE = Object({"path": str, "is_dir": bool, "file_size": SIZE}, {"modification_time": MILLISECONDS})
_VOLUME_FILE = Object(
    {"path": str, "is_directory": bool}, {"file_size": SIZE, "last_modified": MILLISECONDS, "name": str}
)
_GIT_INFO = Object(optional={"id": int, "path": str, "branch": str, "head_commit_id": str, "url": str})
_WORKSPACE_OBJECT = Object(
    {"path": str, "object_type": str}, {"language": str, "size": SIZE, "modified_at": MILLISECONDS}
)
_STATUS = Object(
    {"path": str, "object_type": str, "object_id": int}, {"git_info": _GIT_INFO, "repos_export_format": str}
)
_REPO = Object({"id": int}, {"url": str, "branch": str, "head_commit_id": str, "path": str})
_CLUSTER = Object(
    {"cluster_id": str, "state": str},
    {
        "cluster_name": LINE,
        "cluster_source": str,
        "state_message": LINE,
        "spark_version": str,
        "data_security_mode": str,
        "single_user_name": str,
        "termination_reason": Object(optional={"code": str}),
    },
)
_LIBRARY = Object(
    optional={
        **dict.fromkeys(("jar", "egg", "whl", "requirements"), str),
        **dict.fromkeys(("pypi", "cran"), Object({"package": str})),
        "maven": Object({"coordinates": str}),
    }
)
_SIGNED = Object({"url": str}, {"headers": [Object({"name": str, "value": str})], "part_number": int})
_JOB_STATE = Object({"life_cycle_state": LINE}, {"result_state": LINE, "state_message": LINE})
_RUN = Object(
    {"state": _JOB_STATE},
    {
        "run_id": int,
        "job_id": int,
        "run_page_url": LINE,
        "status": Object(
            optional={
                "termination_details": Object(optional={"code": str}),
                "queue_details": Object(optional={"message": LINE}),
            }
        ),
        "tasks": [Object({"run_id": int})],
    },
)
_RESULTS = Object(optional={"resultType": str, "data": object, "cause": str, "summary": str})
_JOB = Object({"job_id": int}, {"settings": Object(optional={"name": str, "tags": {str: str}})})

# Method and path, the latter without /api and its version. A name that ends with a slash is for all below it.
ANSWERS: dict[str, Shape] = {
    "GET preview/scim/v2/Me": Object(optional={"userName": str}),
    "GET clusters/list": listing(clusters=[_CLUSTER], prev_page_token=str),
    "GET clusters/get": _CLUSTER,
    "POST clusters/start": None,
    "GET libraries/cluster-status": listing(
        library_statuses=[Object(optional={"library": _LIBRARY, "status": str, "messages": [str]})],
        cluster_id=str,
    ),
    "POST contexts/create": Object({"id": str}),
    "GET contexts/status": Object({"status": str}, {"id": str}),
    "POST contexts/destroy": None,
    "POST commands/execute": Object({"id": str}),
    "GET commands/status": Object({"status": str}, {"id": str, "results": _RESULTS}),
    "POST commands/cancel": None,
    "GET dbfs/list": listing(files=[_DBFS_FILE]),
    "GET dbfs/get-status": _DBFS_FILE,
    "GET dbfs/read": Object({"bytes_read": SIZE}, {"data": str}),
    "POST dbfs/create": Object({"handle": int}),
    **dict.fromkeys((f"POST dbfs/{verb}" for verb in ("add-block", "close", "delete")), None),
    **dict.fromkeys((f"POST dbfs/{verb}" for verb in ("mkdirs", "move", "put")), None),
    "GET fs/directories/": listing(contents=[_VOLUME_FILE]),
    **dict.fromkeys((f"{verb} fs/directories/" for verb in ("PUT", "DELETE")), None),
    **dict.fromkeys((f"{verb} fs/files/" for verb in ("PUT", "DELETE")), None),
    "POST fs/files/": Object(optional={"multipart_upload": Object({"session_token": str})}),
    "POST fs/create-upload-part-urls": Object(optional={"upload_part_urls": [_SIGNED]}),
    "POST fs/create-abort-upload-url": Object({"abort_upload_url": _SIGNED}),
    "POST fs/create-download-url": _SIGNED,
    "GET workspace/list": listing(objects=[_WORKSPACE_OBJECT]),
    "GET workspace/get-status": _STATUS,
    "GET workspace/export": Object({"content": str}),
    **dict.fromkeys((f"POST workspace/{verb}" for verb in ("mkdirs", "delete", "import")), None),
    "POST workspace-files/import-file/": None,
    "GET repos/": _REPO,
    "POST repos": _REPO,
    "PATCH repos/": None,
    "GET git-credentials": listing(
        credentials=[
            Object(
                {"credential_id": int},
                {"git_provider": str, "git_username": str, "is_default_for_provider": bool},
            )
        ]
    ),
    "POST git-credentials": None,
    "PATCH git-credentials/": None,
    "GET token/list": listing(
        token_infos=[Object(optional={"expiry_time": range(-1, MILLISECONDS.stop), "comment": LINE})]
    ),
    "GET secrets/get": Object({"value": str}, {"key": str}),
    "GET secrets/list": listing(secrets=[Object({"key": LINE}, {"last_updated_timestamp": MILLISECONDS})]),
    "GET secrets/scopes/list": listing(scopes=[Object({"name": str})]),
    **dict.fromkeys((f"POST secrets/{verb}" for verb in ("put", "delete", "scopes/create")), None),
    "GET unity-catalog/current-metastore-assignment": Object(optional={"default_catalog_name": str}),
    "GET settings/types/default_namespace_ws/names/default": Object(
        optional={"namespace": Object(optional={"value": str})}
    ),
    "GET unity-catalog/catalogs": listing(catalogs=[Object({"name": str}, {"catalog_type": str})]),
    "GET unity-catalog/volumes/": None,
    "POST unity-catalog/volumes": None,
    "GET jobs/list": listing(jobs=[_JOB], has_more=bool, prev_page_token=str),
    "GET jobs/get": Object(
        {"settings": Object(optional={"schedule": Object(keeps_others=True)}, keeps_others=True)}
    ),
    "POST jobs/create": Object({"job_id": int}),
    **dict.fromkeys((f"POST jobs/{verb}" for verb in ("update", "delete", "runs/cancel")), None),
    "POST jobs/run-now": Object({"run_id": int}),
    "POST jobs/runs/submit": Object({"run_id": int}),
    "GET jobs/runs/get": _RUN,
    "GET jobs/runs/get-output": Object(optional={"error": str, "error_trace": str}),
}

_PATH = re.compile(r"/api/\d+\.\d+/(?P<endpoint>.+)")


def shape_of(method: str, url: str) -> Shape:
    """Return the shape of the answer to a request; `object` for an endpoint that commands do not use."""
    found = _PATH.fullmatch(unquote(urlsplit(url).path))
    name = f"{method} {found['endpoint']}" if found else ""
    while name and name not in ANSWERS:
        name = name[: name.rstrip("/").rfind("/") + 1]
    return ANSWERS[name] if name else object


def accept(document: object, method: str, url: str) -> Any:  # noqa: ANN401 - JSON
    """Return an answer with the fields that are read.

    Args:
        document: The answer's JSON.
        method: The request's method.
        url: The request's address.

    Raises:
        UnexpectedAnswer: A field is missing or has another type, or the next page is the same page again.
    """
    accepted = fitting(document, shape_of(method, url))
    token = accepted.get("next_page_token") if isinstance(accepted, dict) else None
    if token and token in parse_qs(urlsplit(url).query).get("page_token", []):
        raise UnexpectedAnswer("names the same page as the next one")
    return accepted


def fitting(value: object, shape: Shape) -> Any:  # noqa: ANN401 - JSON
    """Return a value with the fields that its shape names.

    Raises:
        UnexpectedAnswer: It does not have this shape; the message names the field.
    """
    try:
        return _fitting(value, shape)
    except _Mismatch as error:
        where = error.where.removeprefix(".")
        raise UnexpectedAnswer(f"{f'has {where}, which ' if where else ''}{error.problem}") from None


class _Mismatch(Exception):  # noqa: N818 - not seen outside
    """Where a value differs from its shape, and how."""

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where


def _fitting(value: Any, shape: Shape) -> Any:  # noqa: ANN401 - JSON
    if isinstance(shape, Object):
        return _object(_require(value, dict, "an object"), shape)
    if isinstance(shape, list):
        return [_at(each, shape[0], n) for n, each in enumerate(_require(value, list, "a list"))]
    if isinstance(shape, dict):
        found = _require(value, dict, "an object")
        return {name: _at(each, shape[str], name) for name, each in found.items()}
    if shape is None:
        _require(value, dict, "an object")
        return {}
    return _single(value, shape)


def _single(value: Any, shape: Shape) -> Any:  # noqa: ANN401 - JSON
    """Return a value that is neither an object nor a list."""
    if shape is LINE:
        return shown(_single(value, str))
    if isinstance(shape, range):
        is_fitting = type(value) is int and value in shape
        wanted = f"a whole number from {shape.start} to {shape.stop - 1}"
    elif isinstance(shape, Between):
        is_fitting = type(value) in {int, float} and shape.low <= value < shape.high
        wanted = f"a number from {shape.low} to {shape.high}"
    else:
        is_fitting, wanted = shape is object or type(value) is shape, _NAMES.get(shape, "")
    if not is_fitting:
        raise _Mismatch(f"is {_kind(value)} instead of {wanted}")
    return value


def _object(found: dict[str, Any], shape: Object) -> dict[str, Any]:
    kept = dict(found) if shape.keeps_others else {}
    for names, is_required in ((shape.required, True), (shape.optional, False)):
        for name, wanted in names.items():
            each = found.get(name)
            if type(each) is wanted:  # most of them, and there may be thousands
                kept[name] = each
            elif each is not None:
                kept[name] = _at(each, wanted, name)
            elif is_required:
                raise _Mismatch(f"lacks the field {name}")
            else:
                kept.pop(name, None)
    if shape.is_listing and found and not found.keys() & shape.optional.keys():
        raise _Mismatch(f"has none of the fields {', '.join(shape.optional)}")
    return kept


def _at(value: object, shape: Shape, where: str | int) -> Any:  # noqa: ANN401 - JSON
    """Return a value of an object or a list with the fields that are read; a mismatch tells where it is."""
    try:
        return _fitting(value, shape)
    except _Mismatch as error:
        step = f"[{where}]" if isinstance(where, int) else f".{where}"
        raise _Mismatch(error.problem, f"{step}{error.where}") from None


def _require(value: Any, kind: type, name: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(value, kind):
        raise _Mismatch(f"is {_kind(value)} instead of {name}")
    return value


def _kind(value: object) -> str:
    if isinstance(value, (bool, int, float)):
        return repr(value) if abs(value) < sys.maxsize else "a huge number"
    names: dict[type, str] = {str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def decoded(content: str | None) -> bytes:
    """Return the bytes of base64 text, none of no text.

    Raises:
        UnexpectedAnswer: It is not base64.
    """
    try:
        return base64.b64decode(content or "", validate=True)
    except (binascii.Error, ValueError):
        raise UnexpectedAnswer("has content that is not base64") from None


def text(content: str | None) -> str:
    """Return the text that was encoded as UTF-8 and base64.

    Raises:
        UnexpectedAnswer: It is not encoded so.
    """
    try:
        return decoded(content).decode()
    except UnicodeDecodeError:
        raise UnexpectedAnswer("has content that is not text") from None


def check_listing(folder: PurePosixPath, paths: Iterable[str]) -> None:
    """Check the paths in the listing of a folder.

    Args:
        folder: The folder that was listed.
        paths: The full paths of its entries.

    Raises:
        UnexpectedAnswer: An entry is not directly in this folder, two have the same name, or the folder is
            nested too deeply to be real.
    """
    if len(folder.parts) > _MOST_LEVELS:
        raise UnexpectedAnswer(f"nests more than {_MOST_LEVELS} folders")
    above = f"{folder}/".replace("//", "/")
    seen: set[str] = set()
    for path in paths:
        name = path.removeprefix(above)
        if name == path or "/" in name or name in {"", ".", ".."}:
            raise UnexpectedAnswer(f"names {path!r}, which is not in {folder}")
        if name in seen:
            raise UnexpectedAnswer(f"has two entries called {name!r}")
        seen.add(name)
