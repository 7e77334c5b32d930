"""The requests that serverless compute refuses, encoded by PySpark's client."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql.connect.proto import base_pb2, catalog_pb2, commands_pb2, relations_pb2

from kedro_databricks_hybrid.sandbox.connect.protobuf_wire import fields
from kedro_databricks_hybrid.sandbox.connect.serverless_limits import LimitError, admitted

ALLOWED = "spark.sql.shuffle.partitions"
OTHER = "spark.sql.adaptive.enabled"


def setting(*names: str, silent: bool = False) -> base_pb2.ConfigRequest:
    """Return a request that changes settings."""
    pairs = [base_pb2.KeyValue(key=name, value="1") for name in names]
    chosen = base_pb2.ConfigRequest.Set(pairs=pairs, silent=silent)
    return base_pb2.ConfigRequest(
        session_id="s",
        user_context=base_pb2.UserContext(user_id="u"),
        operation=base_pb2.ConfigRequest.Operation(set=chosen),
        client_type="c",
    )


def unsetting(name: str) -> base_pb2.ConfigRequest:
    """Return a request that unsets a setting."""
    chosen = base_pb2.ConfigRequest.Unset(keys=[name])
    return base_pb2.ConfigRequest(operation=base_pb2.ConfigRequest.Operation(unset=chosen))


def sql(query: str) -> base_pb2.ExecutePlanRequest:
    """Return the request of `spark.sql`."""
    relation = relations_pb2.Relation(sql=relations_pb2.SQL(query=query))
    command = commands_pb2.Command(sql_command=commands_pb2.SqlCommand(input=relation))
    return base_pb2.ExecutePlanRequest(session_id="s", plan=base_pb2.Plan(command=command))


def catalog(**call: Any) -> base_pb2.ExecutePlanRequest:
    """Return the request of a call of `spark.catalog`."""
    relation = relations_pb2.Relation(catalog=catalog_pb2.Catalog(**call))
    return base_pb2.ExecutePlanRequest(session_id="s", plan=base_pb2.Plan(root=relation))


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Config", setting(ALLOWED)),
        ("Config", setting(ALLOWED, silent=True)),
        ("Config", unsetting(ALLOWED)),
        (
            "Config",
            base_pb2.ConfigRequest(
                session_id="s",
                operation=base_pb2.ConfigRequest.Operation(get=base_pb2.ConfigRequest.Get(keys=[OTHER])),
            ),
        ),
        ("AnalyzePlan", base_pb2.AnalyzePlanRequest(schema=base_pb2.AnalyzePlanRequest.Schema())),
        ("ExecutePlan", sql(f"SET {ALLOWED} = 3")),
        ("ExecutePlan", sql("SELECT 'CACHE TABLE x'")),
        ("ExecutePlan", catalog(list_tables=catalog_pb2.ListTables())),
        ("ReleaseSession", base_pb2.ReleaseSessionRequest(session_id="s")),
    ],
)
def test_allowed_requests(method: str, request_: Any) -> None:
    """An allowed request is forwarded unchanged."""
    sent = type(request_).FromString(admitted(method, request_.SerializeToString()))
    if method == "Config" and sent.operation.HasField("set"):
        assert sent.operation.set.silent == request_.operation.set.silent
        sent.operation.set.ClearField("silent")
        request_.operation.set.ClearField("silent")
    assert sent == request_


@pytest.mark.parametrize(
    ("method", "request_", "message"),
    [
        (
            "Config",
            setting(ALLOWED, OTHER),
            f"[CONFIG_NOT_AVAILABLE] Configuration {OTHER} is not available.",
        ),
        ("Config", unsetting(OTHER), f"Configuration {OTHER} is not available. SQLSTATE: 42K0I"),
        ("ExecutePlan", sql(f" set `{OTHER}`=false"), f"Configuration {OTHER} is not available."),
        (
            "AnalyzePlan",
            base_pb2.AnalyzePlanRequest(persist=base_pb2.AnalyzePlanRequest.Persist()),
            "PERSIST TABLE is not supported on serverless compute. SQLSTATE: 0A000",
        ),
        (
            "AnalyzePlan",
            base_pb2.AnalyzePlanRequest(unpersist=base_pb2.AnalyzePlanRequest.Unpersist()),
            "[NOT_SUPPORTED_WITH_SERVERLESS] UNPERSIST TABLE is not supported",
        ),
        ("ExecutePlan", sql("cache lazy table x"), "CACHE TABLE is not supported"),
        ("ExecutePlan", sql("CLEAR CACHE"), "CLEAR CACHE is not supported"),
        ("ExecutePlan", catalog(cache_table=catalog_pb2.CacheTable(table_name="x")), "CACHE TABLE"),
    ],
)
def test_refused_requests(method: str, request_: Any, message: str) -> None:
    """A refused request gets Databricks' message."""
    with pytest.raises(LimitError) as refusal:
        admitted(method, request_.SerializeToString())
    assert message in str(refusal.value)


def test_options_of_the_builder_are_dropped() -> None:
    """Settings of the session builder that are not allowed are ignored; allowed ones are set."""
    sent = base_pb2.ConfigRequest.FromString(
        admitted("Config", setting(OTHER, ALLOWED, silent=True).SerializeToString())
    )
    assert [pair.key for pair in sent.operation.set.pairs] == [ALLOWED]
    assert (sent.session_id, sent.user_context.user_id, sent.client_type) == ("s", "u", "c")


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05abc", b"\x80", b"\x0b"])
def test_invalid_messages(message: bytes) -> None:
    """Invalid messages are refused, without reading past their end."""
    with pytest.raises(ValueError, match=r"message|Wire"):
        list(fields(message))
