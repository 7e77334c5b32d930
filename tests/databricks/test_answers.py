"""Answers of a broken or hostile workspace: the error says what is wrong; no broken list counts as empty."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import threading
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from kedro_databricks_hybrid.databricks import answers, silence
from kedro_databricks_hybrid.databricks.answers import ANSWERS, LINE, Between, Object, UnexpectedAnswer
from kedro_databricks_hybrid.databricks.silence import Limits
from kedro_databricks_hybrid.databricks.transport import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.site import Site


ME = "GET /api/2.0/preview/scim/v2/Me"
STATUS = "GET /api/2.0/workspace/get-status"
REPO = "GET /api/2.0/repos/"
LISTING = "GET /api/2.0/dbfs/list"
OBJECTS = "GET /api/2.0/workspace/list"
CLUSTERS = "GET /api/2.1/clusters/list"

NO_OBJECTS = [b"null", b"7", b'"text"', b"<html><title>Sign in</title>", b"{", b'{"a":' + b"[" * 100_000]
"""Bodies that are no JSON object."""


def answer(endpoint: str, body: bytes) -> Any:
    """Return what the client reads from a body."""
    method, _, path = endpoint.partition(" ")
    received = Answer()
    received.status_code = 200
    received.raw = io.BytesIO(body)
    received.request = requests.Request(method, f"https://x/api/2.0/{path}").prepare()
    return received.json()


def wrong(shape: answers.Shape) -> Iterator[Any]:
    """Yield values that do not have a shape: each part missing, null or of another type."""
    if isinstance(shape, Object):
        whole = {name: right(each) for name, each in {**shape.required, **shape.optional}.items()}
        yield from ([], {"unknown": 1} if shape.is_listing else 7)
        for name, each in {**shape.required, **shape.optional}.items():
            yield from ({**whole, name: value} for value in wrong(each))
        for name in shape.required:
            yield {other: value for other, value in whole.items() if other != name}
            yield {**whole, name: None}
    elif isinstance(shape, list):
        yield from ({}, "x", *([right(shape[0]), value] for value in wrong(shape[0])))
    elif isinstance(shape, dict):
        yield from ([], *({"x": value} for value in wrong(shape[str])))
    elif shape is None:
        yield []
    elif shape is not object:
        yield from ({}, [], 1e99 if shape in {str, LINE, bool} else "x", 1 if shape is bool else True)


def right(shape: answers.Shape) -> Any:
    """Return a value that has a shape."""
    if isinstance(shape, Object):
        return {name: right(each) for name, each in {**shape.required, **shape.optional}.items()}
    if isinstance(shape, list):
        return [right(shape[0])]
    if isinstance(shape, dict):
        return {"x": right(shape[str])}
    if shape is None or shape is object:
        return {}
    return (
        {str: "x", LINE: "x", bool: False, int: 7}.get(shape, 7)
        if not isinstance(shape, (range, Between))
        else 7
    )


@pytest.mark.parametrize("endpoint", [name for name, shape in ANSWERS.items() if shape is not None])
def test_every_part_of_every_answer_is_checked(endpoint: str) -> None:
    """A field that is missing or has another type is refused; unknown fields are dropped."""
    shape = ANSWERS[endpoint]
    whole = right(shape)
    assert answer(endpoint, json.dumps({**whole, "unknown": {"deep": []}}).encode()) == whole
    for value in wrong(shape):
        with pytest.raises(UnexpectedAnswer):
            answer(endpoint, json.dumps(value).encode())


@pytest.mark.parametrize("body", NO_OBJECTS)
def test_a_body_that_is_no_object(body: bytes) -> None:
    """Bodies that are no JSON object are refused, also if the client does not use the answer."""
    for endpoint in ("GET dbfs/list", "POST dbfs/put", "GET unknown/endpoint"):
        with pytest.raises(UnexpectedAnswer, match=r"^is not (JSON|a JSON object): |^is a list"):
            answer(endpoint, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_accepted_or_refused(value: object) -> None:
    """Any JSON value is accepted or refused, never another exception; accepting it twice is the same."""
    for shape in ANSWERS.values():
        with contextlib.suppress(UnexpectedAnswer):
            accepted = answers.fitting(value, shape)
            assert answers.fitting(accepted, shape) == accepted


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["/x/a", "/x/a"], "has two entries called 'a'"),
        (["/x/a\0b", "/x/a\0b"], r"has two entries called 'a\\x00b'"),
        (["/etc/passwd"], "names '/etc/passwd', which is not in /x"),
        (["/x/../y"], r"names '/x/\.\./y', which is not in /x"),
        (["/x/.."], r"names '/x/\.\.', which is not in /x"),
        (["/x/a/b"], "names '/x/a/b', which is not in /x"),
        (["a"], "names 'a', which is not in /x"),
        (["/x"], "names '/x', which is not in /x"),
        (["/x/"], "names '/x/', which is not in /x"),
        (["/X/a"], "names '/X/a', which is not in /x"),
    ],
)
def test_a_listing_has_each_name_once_and_of_its_folder_only(paths: list[str], told: str) -> None:
    """A listing with a name twice, or with a path outside its folder, is refused."""
    answers.check_listing(PurePosixPath("/x"), ["/x/a", "/x/A", "/x/..a", "/x/ü"])
    answers.check_listing(PurePosixPath("/"), ["/a"])
    with pytest.raises(UnexpectedAnswer, match=told):
        answers.check_listing(PurePosixPath("/x"), paths)


def test_folders_are_not_listed_for_ever() -> None:
    """A listing that is more than 200 folders deep is refused."""
    deep = PurePosixPath("/x/" + "x/" * 200)
    with pytest.raises(UnexpectedAnswer, match="nests more than 200 folders"):
        answers.check_listing(deep, [f"{deep}/x"])


USED = {
    "status": (ME, CLUSTERS, STATUS, LISTING, OBJECTS, "GET /api/2.0/workspace/export"),
    "push": (ME, STATUS, LISTING),
    "push --save": (REPO, OBJECTS),
    "pull": (ME, STATUS, REPO),
    "data ls": (LISTING,),
    "data push --all": (ME, LISTING),
    "data pull --all": (LISTING,),
    "runs": (ME, LISTING),
    "logs": (LISTING,),
    "notebook --force": (STATUS,),
    "init --yes": (ME, STATUS, "GET /api/2.1/unity-catalog/current-metastore-assignment"),
    "deploy": (CLUSTERS,),
    "doctor": (ME, STATUS, "GET /api/2.0/dbfs/get-status", "GET /api/2.0/token/list"),
    "run": (ME, STATUS, CLUSTERS, "GET /api/2.1/clusters/get", "POST /api/1.2/contexts/create"),
}
"""Commands and the requests that they make."""


@pytest.fixture
def ready(pushed: Site) -> Site:
    """Return a site with code and data on Databricks, and a notebook for jobs."""
    pushed.commit({"notebooks/run_on_databricks.py": "# Databricks notebook source\n"})
    pushed.call("push", "--all-data")
    return pushed


def test_commands_tell_what_is_wrong_with_an_answer(ready: Site) -> None:
    """Each command that gets a wrong answer exits with 1 and says what is wrong with it."""
    bodies = itertools.cycle([b"", b"null", b"[]", b"<title>Sign in</title>", b"{", b'{"unknown":1}'])
    for command, requested in USED.items():
        for request in requested:
            ready.requests.instead = {request: next(bodies)}
            said = ready.call(*command.split(), status=1).output
            assert re.search("Databricks' answer (is|lacks|has none)|did not return a user name", said), said


def test_commands_tell_that_databricks_does_not_answer(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databricks does not answer: each command says so, with the time limit, and then exits with 1."""
    for name in ("LIMITS", "LOGIN"):
        monkeypatch.setattr(silence, name, Limits(first=0.01, again=0.01, most=0.1))
    for command, requested in USED.items():
        ready.requests.instead = dict.fromkeys(requested[-1:])
        said = ready.call(*command.split(), status=1).output
        assert re.search(r"Note: Databricks has not answered for \d s; giving up after 0\.1 s\.", said), said
        assert "no answer (gave up after 0.1 s)" in said
        ready.requests.released.set()
        for abandoned in threading.enumerate():
            if abandoned.name == "parallel":
                abandoned.join(60)
        ready.requests.released.clear()
