"""State files of a wrong shape: the start names the file and the next step, or everything can be listed."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from kedro_databricks_hybrid.sandbox.app import create_app
from kedro_databricks_hybrid.sandbox.clusters.model import STOPPED_ID
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.core.store import Store
from kedro_databricks_hybrid.sandbox.jobs.runs import Runs
from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from tests.sandbox.conftest import Remote, Running

RUNS = Path(__file__).with_name("jobs") / "runs_of_the_version_before.json"
FILES = {
    *("workspace.json", "users.json", "tokens.json", "git_credentials.json", "repos.json", "secrets.json"),
    *("workspace_conf.json", "unity_catalog.json", "clusters.json", "libraries.json", "jobs.json", "runs.db"),
    *("groups.json", "permissions.json", "instance_pools.json", "cluster_policies.json", "pipelines.json"),
}
LISTS = (
    "/api/2.0/preview/scim/v2/Me",
    "/api/2.0/preview/scim/v2/Users",
    "/api/2.0/preview/scim/v2/Groups",
    "/api/2.0/token/list",
    "/api/2.0/git-credentials",
    "/api/2.0/repos",
    "/api/2.0/secrets/scopes/list",
    "/api/2.0/secrets/list?scope=scope",
    "/api/2.0/secrets/acls/list?scope=scope",
    "/api/2.0/secrets/get?scope=scope&key=key",
    "/api/2.1/unity-catalog/catalogs",
    "/api/2.1/unity-catalog/schemas?catalog_name=main",
    "/api/2.1/unity-catalog/volumes?catalog_name=main&schema_name=default",
    "/api/2.1/unity-catalog/effective-permissions/volume/main.default.data",
    "/api/2.1/unity-catalog/current-metastore-assignment",
    "/api/2.0/workspace-conf?keys=enableX",
    "/api/2.0/clusters/list",
    f"/api/2.0/clusters/get?cluster_id={STOPPED_ID}",
    f"/api/2.0/permissions/clusters/{STOPPED_ID}",
    "/api/2.0/instance-pools/list",
    "/api/2.0/policies/clusters/list",
    "/api/2.0/pipelines",
    "/api/2.0/libraries/all-cluster-statuses",
    "/api/2.2/jobs/list?expand_tasks=true",
    "/api/2.2/jobs/runs/list?expand_tasks=true",
    "/api/2.0/workspace/list?path=/",
)
CAN_RESTART = {"group_name": "users", "permission_level": "CAN_RESTART"}
READ_VOLUME = {"principal": "account users", "add": ["READ_VOLUME"]}
WRONG: tuple[object, ...] = (None, -1, 1.5, "", "..", True, [], [1], {}, {"x": []})


@pytest.fixture
def state(running: Running, remote: Remote) -> Path:
    """Return the state of a sandbox in which every file has entries."""
    client = running.http()
    job = {"task_key": "a", "notebook_task": {"notebook_path": "/a"}, "depends_on": []}
    for path, fields in (
        ("2.0/token/create", {"comment": "x", "lifetime_seconds": 1000}),
        ("2.0/git-credentials", {"git_provider": "gitHub", "personal_access_token": "x"}),
        ("2.0/repos", {"url": str(remote.bare), "provider": "gitHub"}),
        ("2.0/secrets/scopes/create", {"scope": "scope"}),
        ("2.0/preview/scim/v2/Groups", {"displayName": "group"}),
        ("2.0/secrets/acls/put", {"scope": "scope", "principal": "group", "permission": "READ"}),
        ("2.0/instance-pools/create", {"instance_pool_name": "x"}),
        ("2.0/policies/clusters/create", {"name": "x"}),
        ("2.0/pipelines", {"name": "x"}),
        ("2.0/secrets/put", {"scope": "scope", "key": "key", "string_value": "x"}),
        (
            "2.0/libraries/install",
            {"cluster_id": "0101-120000-sandbox2", "libraries": [{"pypi": {"package": "x"}}]},
        ),
        ("2.2/jobs/create", {"name": "x", "tasks": [job], "parameters": [{"name": "p", "default": ""}]}),
    ):
        client.post(f"/api/{path}", json=fields).raise_for_status()
    client.patch("/api/2.0/workspace-conf", json={"enableX": "true"}).raise_for_status()
    for address, changed in (
        (f"2.0/permissions/clusters/{STOPPED_ID}", {"access_control_list": [CAN_RESTART]}),
        ("2.1/unity-catalog/permissions/volume/main.default.data", {"changes": [READ_VOLUME]}),
    ):
        client.patch(f"/api/{address}", json=changed).raise_for_status()
    running.stop()
    folder = running.sandbox.layout.state
    (folder / "runs.db").unlink()
    shutil.copyfile(RUNS, folder / "runs.json")
    Runs(Store(folder))
    assert {path.name for path in folder.iterdir()} == FILES
    return folder


def read(file: Path) -> Any:
    """Return the JSON of a document, or of all rows of a table by their ids."""
    if file.suffix == ".json":
        return json.loads(file.read_bytes())
    with closing(sqlite3.connect(file)) as database:
        return {number: json.loads(text) for number, text in database.execute("SELECT * FROM documents")}


def write(file: Path, content: Any) -> None:
    """Write the JSON back to a document or a table."""
    if file.suffix == ".json":
        file.write_text(json.dumps(content))
        return
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM documents")
        for number, value in content.items():
            database.execute("INSERT INTO documents VALUES (?, ?)", (number, json.dumps(value)))


def places(content: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value inside a JSON document."""
    pairs = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in places(value))


def holder(content: Any, place: tuple[Any, ...]) -> Any:
    """Return the container of the value at a path."""
    for key in place[:-1]:
        content = content[key]
    return content


def damages(whole: Any) -> Iterator[tuple[str, tuple[Any, ...], object]]:
    """Yield what to do at which place, and a value of another type: see `damaged`."""
    for number, place in enumerate(places(whole)):
        for what in ("wrong", "missing", "more", "renamed"):
            yield what, place, WRONG[number % len(WRONG)]


def damaged(whole: Any, what: str, place: tuple[Any, ...], wrong: object) -> Any:
    """Return a copy in which one value has another type, is missing, renamed or added."""
    changed = copy.deepcopy(whole)
    inside = holder(changed, place)
    if what == "wrong":
        inside[place[-1]] = wrong
    elif what == "missing":
        del inside[place[-1]]
    elif isinstance(inside, dict) and len(place) > 1:
        inside["../x" if what == "renamed" else "unknown"] = inside[place[-1]]
        if what == "renamed":
            del inside[place[-1]]
    return changed


async def listed(sandbox: Sandbox, app: Starlette) -> None:
    """Request every list; no answer may be an internal error."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {sandbox.user.token}", "Host": "localhost"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        for path in LISTS:
            answer = await client.get(path)
            assert answer.status_code < 500, (path, answer.text)


def start(layout: Layout) -> tuple[Sandbox, Starlette]:
    """Start the sandbox.

    Raises:
        ValueError: It refuses its state.
    """
    sandbox = Sandbox(layout)
    return sandbox, create_app(sandbox)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_wrong_shape_is_named(state: Path, name: str) -> None:
    """The start names the damaged file and the next step, or the sandbox lists everything."""
    good = (state / name).read_bytes()
    layout = Layout(state.parent)
    asyncio.run(listed(*start(layout)))
    refused = 0
    whole = read(state / name)
    all_damages = list(damages(whole))
    for damage in all_damages[:: len(all_damages) // 40 + 1]:
        (state / name).write_bytes(good)
        write(state / name, damaged(whole, *damage))
        try:
            started = start(layout)
        except ValueError as error:
            refused += 1
            said = str(error)
            assert said.startswith(f"{state / name} is damaged: "), (damage, said)
            assert said.endswith(". Move it away to start with empty state."), (damage, said)
            assert "\n" not in said
        else:
            asyncio.run(listed(*started))
    assert refused
    (state / name).unlink()
    asyncio.run(listed(*start(layout)))
