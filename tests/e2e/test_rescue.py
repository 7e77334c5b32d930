"""`push --save` at a terminal: edits in the Git folder are discarded only if the user types `discard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.terminal import type_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"


def test_edits_go_only_when_that_is_typed(tiny: Callable[[str], Shell]) -> None:
    """Press Enter: the edits stay. Type `discard`: the folder has the commit, a local branch the edits."""
    shell = tiny("consent")
    shell.ok(f"kedro databricks push --no-data {PROFILE}")
    there = shell.home / "roots" / "Workspace" / "Repos" / "user@example.com" / "consent" / ".gitignore"
    there.write_text("theirs\n")
    left = type_answers(shell, f"push --no-data --save {PROFILE}", {"Type 'discard'": ""})
    assert "Saved the edits" in left
    assert there.read_text() == "theirs\n"
    given_up = type_answers(shell, f"push --no-data --save {PROFILE}", {"Type 'discard'": "discard"})
    assert "Databricks has" in given_up
    assert there.read_text() == (shell.folder / ".gitignore").read_text()
    branch = shell.ok("git for-each-ref --format=%(refname) refs/heads/kedro-hybrid/rescued").out.strip()
    assert shell.ok(f"git show {branch}:.gitignore").out == "theirs\n"
