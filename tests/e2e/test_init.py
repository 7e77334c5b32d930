"""`kedro databricks init` on a project from `kedro new`, and the token that it asks for at a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.commands import Shell
from tests.e2e.terminal import type_answers, watched_processes

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
TOKEN = "glpat-typed-and-never-shown"


def test_a_project_of_kedros_own_template(sandbox_home: Path, tmp_path: Path) -> None:
    """After `kedro new` and `init`, push, doctor and status succeed, and no output contains the token."""
    outside = Shell(tmp_path, sandbox_home)
    outside.ok("kedro new --name=fresh --tools=none --example=n --telemetry=no")
    shell = Shell(tmp_path / "fresh", sandbox_home)
    shell.ok("git init -q -b main")
    shell.ok(f"git init -q --bare -b main {tmp_path / 'fresh.git'}")
    shell.ok(f"git remote add origin {tmp_path / 'fresh.git'}")
    shell.ok("git add .")
    shell.ok('git commit -q -m "Template"')
    said = shell.ok(f"kedro databricks init {PROFILE}").out
    assert "Edited src/fresh/settings.py" in said
    assert "Edited requirements.txt" in said
    shell.ok("git add .")
    shell.ok('git commit -q -m "Prepared"')
    shell.ok(f"kedro databricks push {PROFILE}")
    examined = shell.ok(f"kedro databricks doctor {PROFILE}")
    assert "your commit" in shell.ok(f"kedro databricks status {PROFILE}").out
    for result in (examined, shell.ok(f"kedro databricks init {PROFILE}")):
        assert shell.client().config.token not in result.out + result.err
    assert shell.ok("git status --porcelain").out == ""


def test_the_token_is_typed_unseen(tiny: Callable[[str], Shell]) -> None:
    """Type a token at init's question: not on the terminal, in the process list or in the project's files."""
    shell = tiny("unseen")
    shell.ok("git remote set-url origin https://127.0.0.1:9/team/unseen.git")
    settings = "code:\n  provider: bitbucketServer\n  folder: /Workspace/Repos/{user}/unseen\n"
    (shell.folder / "conf" / "base" / "databricks.yml").write_text(settings)
    answers = {"Your name at": "ann", "Token for": TOKEN}
    with watched_processes() as seen:
        screen = type_answers(shell, f"init {PROFILE}", answers)
    assert "Registered the Git credential for bitbucketServer" in screen
    known = [each for each in shell.client().git_credentials.list() if each.git_provider == "bitbucketServer"]
    assert [each.git_username for each in known] == ["ann"]
    for text in (screen, *seen, *_texts(shell.folder)):
        assert TOKEN not in text
    assert any("kedro databricks init" in line for line in seen)


def _texts(folder: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
