"""The oracle: compares files and processes with the history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx

from tests.soak.campaign import RAW, SCALED
from tests.soak.history import NO_END, Started
from tests.soak.processes import kernels, wait_for_no_orphans

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.campaign import Campaign, User


def check(campaign: Campaign) -> None:
    """Compare everything with the history, and reduce its sets to the values found.

    Raises:
        AssertionError: Something differs.
    """
    running = campaign.running()
    wait_for_no_orphans(campaign.scratch, running.pid)
    assert kernels(running.pid) <= len(campaign.users), "a context was left behind"
    for user in campaign.users:
        _check_code(user, running.host)
        _check_data(user)
        _check_runs(user)


def _check_code(user: User, host: str) -> None:
    answer = httpx.get(
        f"{host}/api/2.0/repos",
        params={"path_prefix": f"/Repos/{user.name}/shop"},
        headers={"Authorization": f"Bearer {user.token}"},
    )
    commits = {repo["head_commit_id"] for repo in answer.json().get("repos", [])}
    assert len(commits) == 1, answer.text
    assert commits <= user.history.code_there, _differs(user, "the Git folder's commit", commits)
    user.history.code_there = commits
    (commit,) = commits
    for line in user.shell.ok(f"git ls-tree -r {commit}").out.splitlines():
        attributes, _, name = line.partition("\t")
        expected = user.shell.ok(f"git show {commit}:{name}").out
        there = user.git_folder / name
        if attributes.startswith("120"):
            assert str(there.readlink()) == expected, f"{user.name}: {name} is another link"
            continue
        assert there.is_file(), f"{user.name}: {name} is missing in the Git folder"
        assert there.read_text("utf-8") == expected, f"{user.name}: {name} is not as in {commit}"


def _check_data(user: User) -> None:
    history, folder = user.history, user.shell.folder
    assert _text(folder / RAW) == history.raw, _differs(user, "the local raw table", folder / RAW)
    pulled = _text(folder / SCALED)
    assert pulled in history.scaled, _differs(user, "the local result", pulled)
    history.scaled = {pulled}
    raw = _text(user.data_root / RAW.removeprefix("data/"))
    assert raw in history.raw_there, _differs(user, "the raw table there", raw)
    history.raw_there = {raw}
    result = _text(user.data_root / SCALED.removeprefix("data/"))
    assert result in history.scaled_there, _differs(user, "the result there", result)
    history.scaled_there = {result}


def _check_runs(user: User) -> None:
    history = user.history
    seen = {folder.name: outcome(folder) for folder in runs_folder(user).iterdir()}
    for name, expected in history.runs.items():
        assert seen.get(name) == expected, f"{user.name}: run {name} is {seen.get(name)}, not {expected}"
    new = {name: ended for name, ended in seen.items() if name not in history.runs}
    assert len(new) in history.started.counts, _differs(user, "the runs that started", new)
    assert set(new.values()) <= history.started.outcomes, _differs(user, "the outcome", new)
    history.runs |= new
    history.started = Started()
    if history.pending and not history.pending.run_id:
        history.pending.run_id = max(new)


def runs_folder(user: User) -> Path:
    """Return the folder of a user's run logs."""
    folder = user.data_root / ".kedro-hybrid" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def outcome(folder: Path) -> str:
    """Return the outcome in a run's end record."""
    end = folder / "end.json"
    return str(json.loads(end.read_text("utf-8"))["outcome"]) if end.exists() else NO_END


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def _differs(user: User, what: str, found: object) -> str:
    return f"{user.name}: {what} is {found!r}; the history says {user.history}"
