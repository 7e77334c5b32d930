"""The Spark Connect requests that serverless compute refuses: caching, and settings outside a short list.

Requests are read in their wire format; the numbers below are field numbers of Spark Connect's protocol.
"""

from __future__ import annotations

import json
import re

from kedro_databricks_hybrid.sandbox.connect.protobuf_wire import field, fields, inside, number_field
from kedro_databricks_hybrid.sandbox.core.guesses import CATALOG_CACHING, UNPERSIST

SETTINGS = frozenset(
    {
        "spark.databricks.execution.timeout",
        "spark.sql.ansi.enabled",
        "spark.sql.files.maxPartitionBytes",
        "spark.sql.legacy.timeParserPolicy",
        "spark.sql.session.timeZone",
        "spark.sql.shuffle.partitions",
    }
)
"""The settings that may be changed; see "Configure Spark properties for serverless notebooks and jobs"."""

_CONFIG_OPERATION, _SET, _UNSET = 3, 1, 6
_SET_PAIRS, _SET_SILENT, _PAIR_KEY, _UNSET_KEYS = 1, 2, 1, 1
_ANALYZED = {14: "PERSIST TABLE", 15: UNPERSIST}
_COMMAND_SQL = (3, 2, 5, 6, 10, 1)  # ExecutePlanRequest.plan.command.sql_command.input.sql.query
_CATALOG = (3, 1, 200)  # ExecutePlanRequest.plan.root.catalog
_CATALOG_CALLS = dict(enumerate(CATALOG_CACHING, start=19))
_CACHING_SQL = re.compile(r"\s*(CACHE|UNCACHE|CLEAR)\s+(?:LAZY\s+)?(TABLE|CACHE)\b", re.IGNORECASE)
_SETTING_SQL = re.compile(r"\s*SET\s+`?(spark\.[\w.]+)`?\s*=", re.IGNORECASE)

_ANALYSIS_EXCEPTION = "org.apache.spark.sql.AnalysisException"
_INTERNAL = 13  # google.rpc.Code


class LimitError(Exception):
    """Serverless compute refuses a request; Spark Connect's client raises an AnalysisException for it."""

    def __init__(self, error_class: str, message: str, state: str) -> None:
        super().__init__(f"[{error_class}] {message} SQLSTATE: {state}")
        self._error_class = error_class
        self._state = state

    def details(self) -> bytes:
        """Return the google.rpc.Status that is sent with the error."""
        metadata = {
            "classes": json.dumps([_ANALYSIS_EXCEPTION, "java.lang.Exception"]),
            "errorClass": self._error_class,
            "sqlState": self._state,
        }
        info = field(1, _ANALYSIS_EXCEPTION.encode()) + field(2, b"org.apache.spark")
        for key, value in metadata.items():
            info += field(3, field(1, key.encode()) + field(2, value.encode()))
        packed = field(1, b"type.googleapis.com/google.rpc.ErrorInfo") + field(2, info)
        return number_field(1, _INTERNAL) + field(2, str(self).encode()) + field(3, packed)


def admitted(method: str, request: bytes) -> bytes:
    """Return a request as it is forwarded.

    Args:
        method: The method of the service, such as `Config`.
        request: The encoded message.

    Raises:
        LimitError: Serverless compute refuses it.
    """
    if method == "Config":
        return _with_allowed_settings(request)
    if method == "AnalyzePlan":
        for number, _ in fields(request):
            _refuse_caching(_ANALYZED.get(number))
    if method == "ExecutePlan":
        _check_plan(request)
    return request


def _with_allowed_settings(request: bytes) -> bytes:
    """Return a settings request with only the settings in the list.

    Others are refused, or dropped from a silent request, in which a client sends its builder's options.
    """
    out = b""
    for number, content in fields(request):
        if number != _CONFIG_OPERATION:
            out += field(number, content)
            continue
        for key in inside(content, _UNSET, _UNSET_KEYS):
            _refuse_setting(key)
        out += field(number, b"".join(_allowed(kind, each) for kind, each in fields(content)))
    return out


def _allowed(kind: int, operation: bytes) -> bytes:
    if kind != _SET:
        return field(kind, operation)
    is_silent = any(number == _SET_SILENT and value != b"\0" for number, value in fields(operation))
    kept = b""
    for pair in inside(operation, _SET_PAIRS):
        key = next(inside(pair, _PAIR_KEY), b"")
        if key.decode() in SETTINGS:
            kept += field(_SET_PAIRS, pair)
        elif not is_silent:
            _refuse_setting(key)
    return field(kind, kept + number_field(_SET_SILENT, int(is_silent)))


def _check_plan(request: bytes) -> None:
    for query in inside(request, *_COMMAND_SQL):
        text = query.decode()
        if found := _SETTING_SQL.match(text):
            _refuse_setting(found[1].encode())
        if found := _CACHING_SQL.match(text):
            _refuse_caching(f"{found[1]} {found[2]}".upper())
    for catalog in inside(request, *_CATALOG):
        for number, _ in fields(catalog):
            _refuse_caching(_CATALOG_CALLS.get(number))


def _refuse_setting(key: bytes) -> None:
    name = key.decode()
    if name not in SETTINGS:
        raise LimitError("CONFIG_NOT_AVAILABLE", f"Configuration {name} is not available.", "42K0I")


def _refuse_caching(operation: str | None) -> None:
    if operation is not None:
        raise LimitError(
            "NOT_SUPPORTED_WITH_SERVERLESS", f"{operation} is not supported on serverless compute.", "0A000"
        )
