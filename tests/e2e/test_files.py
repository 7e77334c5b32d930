"""`code.sync: files`: uncommitted files are pushed and run."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"


def test_an_uncommitted_edit_runs(tiny: Callable[[str], Shell]) -> None:
    """With `code.sync: files`, push and run an uncommitted edit: it takes effect, and the run says so."""
    shell = tiny("uncommitted")
    settings = shell.folder / "conf" / "base" / "databricks.yml"
    settings.write_text(settings.read_text().replace("code:\n", "code:\n  sync: files\n"))
    nodes = shell.folder / "src" / "tiny_shop" / "pipeline_registry.py"
    nodes.write_text(nodes.read_text().replace("raw * 2", "raw * 1000"))
    pushed = shell.ok(f"kedro databricks push {PROFILE}")
    assert "in /Workspace/Users/user@example.com/uncommitted-files" in pushed.out
    ran = shell.ok(f"kedro databricks run {PROFILE}")
    assert "(Work in progress on main" in ran.out
    assert "Note:" not in ran.err
    written = shell.client().dbfs.read("/root/projects/uncommitted/data/02_intermediate/doubled.csv")
    assert b64decode(written.data or "") == b"a,b\n1000,2000\n3000,4000\n"
