"""Credentials of a project, from this machine's environment to a run that opens a dataset with them."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.test_credentials import FILES, VALUE
from tests.e2e.commands import Shell
from tests.project_fixtures import write_files

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"


def processes_with(value: str) -> list[str]:
    """Return the processes of this machine whose arguments or environment have a text, except our own."""
    files = [each / name for each in Path("/proc").glob("[0-9]*") for name in ("cmdline", "environ")]
    return [str(file) for file in files if holds(file, value)]


def holds(file: Path, value: str) -> bool:
    """Tell whether a file contains a text, as it is or in base64."""
    content = b""
    with contextlib.suppress(OSError):  # the process has ended, or is somebody else's
        content = file.read_bytes()
    return value.encode() in content or base64.b64encode(value.encode()) in content


def test_from_the_environment_here_to_a_dataset_there(tiny: Callable[[str], Shell]) -> None:
    """One credentials.yml works in both places; no file, log or process of the run holds the value.

    On a cluster and on serverless compute. Of the sandbox's own files, only the one with its secrets has it.
    """
    shell = tiny("vault")
    write_files(shell.folder, FILES)
    shell.ok(f"kedro databricks init --volume=main.default.vault {PROFILE}")
    shell.ok("git add --force .")
    shell.ok("git commit -q -m Vault")
    shell.ok("kedro run", STORE_KEY=VALUE, UNUSED="x", OTHER="y")
    pushed = shell.ok(f"kedro databricks push {PROFILE}")
    assert "lacks what credentials need: STORE_KEY (for vault)" in pushed.err, str(pushed)
    lacking = shell.fails(f"kedro databricks run {PROFILE}", "STORE_KEY (for vault)", "secrets set STORE_KEY")
    assert "commit" not in lacking.errors[0], str(lacking)
    shell.ok(f"kedro databricks secrets push --yes {PROFILE}", STORE_KEY=VALUE)
    for options in ("", " --serverless"):
        ran = shell.ok(f"kedro databricks run{options} {PROFILE}")
        assert "It is [REDACTED]" in ran.out, str(ran)
        assert VALUE not in ran.out + ran.err, str(ran)
    assert processes_with(VALUE) == []
    home = shell.home
    holding = [
        str(file)
        for top in (home, home.parent / "state", shell.folder)
        for folder, _, names in os.walk(top)  # unlike rglob, not hurt by folders that are removed meanwhile
        for file in map(Path(folder).joinpath, names)
        if "site-packages" not in file.parts and file.is_file() and holds(file, VALUE)
    ]
    assert [name.rpartition("/")[2] for name in holding] == ["secrets.json"], holding
    shell.ok(f"kedro databricks secrets rm STORE_KEY {PROFILE}")
