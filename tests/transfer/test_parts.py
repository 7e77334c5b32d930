"""Large files to a volume in parts, where something goes wrong on the way or the workspace takes none."""

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
    """Return a push that is about to send, counting requests from now on."""
    push = site.push(data, VOLUME)
    plan = push.prepare(Selection())
    site.line.forget()
    return push, plan


def is_part(request: Request) -> bool:
    """Whether a request brings a part."""
    return request.method == "PUT" and request.path.startswith("/storage/")


def is_join(request: Request) -> bool:
    """Whether a request asks for the parts to be joined."""
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
def test_parts_that_a_workspace_does_not_take_go_in_one_request(
    site: Site, parts: Path, asked: str, status: int, says: bytes
) -> None:
    """However it says so, the file goes whole, and arrives."""
    push, plan = prepared(site, parts)
    site.line.says = says
    site.line.fault = lambda request: status if asked in request.line else None
    push.perform(plan)
    assert site.files(VOLUME) == tree_of(parts)
    assert not list((parts / ".kedro-hybrid").glob("*.unfinished"))


@pytest.mark.parametrize("fault", [RESET_BEFORE, RESET_AFTER, 503, 403])
def test_a_part_that_gets_lost_is_sent_again(site: Site, parts: Path, fault: Fault) -> None:
    """By itself, to a new address, as the old one may have expired."""
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


def test_parts_that_never_arrive_are_told(site: Site, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the file and what came back; nothing is under its name, and the next push sends it."""
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


def test_a_lost_answer_to_the_joining_is_no_failure(site: Site, parts: Path) -> None:
    """The repeated request finds no upload any more; the file that is there tells."""
    push, plan = prepared(site, parts)
    lost: list[Request] = []

    def once(request: Request) -> Fault:
        if is_join(request) and not lost:
            lost.append(request)
            return RESET_AFTER
        return None

    site.line.fault = once
    assert push.perform(plan).sent == 1
    assert sum(map(is_join, site.line.requests)) == 2
    assert site.files(VOLUME) == tree_of(parts)


def test_a_refused_joining_is_told(site: Site, parts: Path) -> None:
    """No file is there, so it is a failure, in the words of Databricks."""
    push, plan = prepared(site, parts)
    site.line.says = b'{"error_code":"INVALID_PARAMETER_VALUE","message":"A part is missing."}'
    site.line.fault = lambda request: 400 if is_join(request) else None
    with pytest.raises(
        WorkspaceError, match=r"write .*large.bin: INVALID_PARAMETER_VALUE: A part is missing"
    ):
        push.perform(plan)
    assert site.files(VOLUME) == {}


def test_an_account_wide_address_is_told_the_workspace(site: Site, parts: Path) -> None:
    """Where a login names a workspace, its number goes with the requests that the SDK does not write."""
    push, plan = prepared(site, parts)
    push.tree._client.config.workspace_id = "4711"  # type: ignore[attr-defined] # noqa: SLF001 - of the login
    push.perform(plan)
    (join,) = filter(is_join, site.line.requests)
    assert join.headers["x-databricks-workspace-id"] == "4711"
