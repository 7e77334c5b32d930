"""Large files to a volume in parts, with faults and in workspaces without support for parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.errors import ConnectionFailedError, WorkspaceError
from kedro_databricks_hybrid.transfer.plan import PushPlan
from kedro_databricks_hybrid.transfer.push import Push, Selection
from kedro_databricks_hybrid.transfer.trees import volume_parts
from tests.transfer.bad_line import RESET_AFTER, RESET_BEFORE, Request
from tests.transfer.conftest import PARTS, VOLUME, Site, tree_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.transfer.bad_line import Fault

ADDRESSES = "/create-upload-part-urls"


def prepared(site: Site, data: Path) -> tuple[Push, PushPlan]:
    """Return a push that is ready to send, counting requests from now on."""
    push = site.push(data, VOLUME)
    plan = push.prepare(Selection())
    site.line.forget()
    return push, plan


def is_part(request: Request) -> bool:
    """Return whether a request sends a part."""
    return request.method == "PUT" and request.path.startswith("/storage/")


def is_completion(request: Request) -> bool:
    """Return whether a request completes the upload."""
    return "action=complete-upload" in request.line


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ("/storage/", 403, b"{}"),
        ("action=initiate-upload", 200, b'{"resumable_upload":{"session_token":"x"}}'),
        (ADDRESSES, 200, b"{}"),
        (ADDRESSES, 403, b'{"error_code":"PERMISSION_DENIED","message":"No signed addresses here."}'),
    ],
    ids=["refused by the cloud", "another way of uploading", "no address", "addresses refused"],
)
def test_a_workspace_without_parts_gets_one_request(
    site: Site, parts: Path, asked: str, status: int, says: bytes
) -> None:
    """If the workspace refuses parts, for any reason, the file arrives in one request."""
    push, plan = prepared(site, parts)
    site.line.says = says
    site.line.fault = lambda request: status if asked in request.line else None
    push.perform(plan)
    assert site.files(VOLUME) == tree_of(parts)
    assert not list((parts / ".kedro-hybrid").glob("*.unfinished"))


@pytest.mark.parametrize("fault", [RESET_BEFORE, RESET_AFTER, 503, 403])
def test_a_part_that_gets_lost_is_sent_again(site: Site, parts: Path, fault: Fault) -> None:
    """Only a lost part is sent again, to a new URL, as the old one may have expired."""
    push, plan = prepared(site, parts)
    lost: list[Request] = []

    def once(request: Request) -> Fault:
        if is_part(request) and not lost:
            lost.append(request)
            return fault
        return None

    site.line.fault = once
    push.perform(plan)
    assert sum(map(is_part, site.line.requests)) == PARTS + 1
    assert site.files(VOLUME) == tree_of(parts)


def test_parts_that_never_arrive_are_an_error(
    site: Site, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the file and the reason; no file gets its final name, and the next push sends it."""
    monkeypatch.setattr(volume_parts, "_TRIES", 2)
    push, plan = prepared(site, parts)
    site.line.fault = lambda request: 503 if is_part(request) else None
    site.line.retry_after = "0"
    with pytest.raises(ConnectionFailedError, match=r"send part \d of .*large.bin: 503 No. .*Push again"):
        push.perform(plan)
    assert site.files(VOLUME) == {}
    push, plan = prepared(site, parts)
    push.perform(plan)
    assert site.files(VOLUME) == tree_of(parts)


def test_a_lost_answer_to_the_completion_is_no_failure(site: Site, parts: Path) -> None:
    """The repeated request finds no upload any more, but the file exists."""
    push, plan = prepared(site, parts)
    lost: list[Request] = []

    def once(request: Request) -> Fault:
        if is_completion(request) and not lost:
            lost.append(request)
            return RESET_AFTER
        return None

    site.line.fault = once
    assert push.perform(plan).sent == 1
    assert sum(map(is_completion, site.line.requests)) == 2
    assert site.files(VOLUME) == tree_of(parts)


def test_a_refused_completion_is_an_error(site: Site, parts: Path) -> None:
    """The file does not exist, so it is an error, with Databricks' message."""
    push, plan = prepared(site, parts)
    site.line.says = b'{"error_code":"INVALID_PARAMETER_VALUE","message":"A part is missing."}'
    site.line.fault = lambda request: 400 if is_completion(request) else None
    with pytest.raises(
        WorkspaceError, match=r"write .*large.bin: INVALID_PARAMETER_VALUE: A part is missing"
    ):
        push.perform(plan)
    assert site.files(VOLUME) == {}


def test_an_account_wide_host_gets_the_workspaces_id(site: Site, parts: Path) -> None:
    """If a login names a workspace, its id is also sent with requests that the SDK has no method for."""
    push, plan = prepared(site, parts)
    push.tree._client.config.workspace_id = "4711"  # type: ignore[attr-defined] # noqa: SLF001 - of the login
    push.perform(plan)
    (completion,) = filter(is_completion, site.line.requests)
    assert completion.headers["x-databricks-workspace-id"] == "4711"
