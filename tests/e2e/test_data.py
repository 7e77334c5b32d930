"""`kedro databricks data push`, `pull` and `ls`, and the data that `push` and `pull --data` transfer."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
PUSH = f"kedro databricks data push {PROFILE}"
PULL = f"kedro databricks data pull {PROFILE}"
LS = f"kedro databricks data ls {PROFILE}"


def remote(shell: Shell, name: str) -> Path:
    """Return the folder of a project's data root on this machine."""
    return shell.home / "roots" / "dbfs" / "root" / "projects" / name / "data"


def test_inputs_go_results_come_back(tiny: Callable[[str], Shell]) -> None:
    """Push sends the pipeline's inputs; after a run, `pull --data` downloads its outputs."""
    shell = tiny("there-and-back")
    (shell.folder / "data" / "01_raw" / "notes.txt").write_text("no dataset")
    pushed = shell.ok(f"kedro databricks push {PROFILE}")
    assert "Sent 1 file (12 B)" in pushed.out
    assert not (remote(shell, "there-and-back") / "01_raw" / "notes.txt").exists()
    shell.ok(f"kedro databricks run {PROFILE}")
    pulled = shell.ok(f"kedro databricks pull --data {PROFILE}")
    assert "wrote doubled." in pulled.out
    assert "Received 1 file" in pulled.out
    there = remote(shell, "there-and-back") / "02_intermediate" / "doubled.csv"
    assert (shell.folder / "data" / "02_intermediate" / "doubled.csv").read_bytes() == there.read_bytes()
    assert "Everything is up to date (1 file)." in shell.ok(PULL).out
    assert "is up to date (1 file)" in shell.ok(PUSH).out
    assert shell.ok("git status --porcelain").out == "?? data/01_raw/notes.txt\n"


def test_ls_shows_both_sides(tiny: Callable[[str], Shell]) -> None:
    """`data ls` prints one line for each file with its state; `--json` has the same states and sizes."""
    shell = tiny("both-sides")
    there = remote(shell, "both-sides") / "01_raw"
    there.mkdir(parents=True)
    shutil.copyfile(shell.folder / "data" / "01_raw" / "raw.csv", there / "raw.csv")
    # DBFS has whole seconds: of a file written just now, a listing cannot tell whether it changed again.
    os.utime(there / "raw.csv", (0, 10**9))
    shell.ok(PUSH)
    (shell.folder / "data" / "01_raw" / "here.csv").write_text("1")
    (there / "there.csv").write_text("22")
    listed = shell.ok(f"{LS} data/01_raw").out.splitlines()
    states = {line.split()[0]: line for line in listed[1:]}
    assert states["01_raw/raw.csv"].endswith("same")
    assert states["01_raw/here.csv"].endswith("only here")
    assert states["01_raw/there.csv"].endswith("only there")
    (shell.folder / "data" / "01_raw" / "raw.csv").write_text("a,b\n")
    printed = shell.ok(f"{LS} --json").out
    found = {each["path"]: each for each in json.loads(printed.splitlines()[-1])}
    assert found["01_raw/raw.csv"]["state"] == "changed here"
    assert found["01_raw/there.csv"]["there"]["size"] == 2


def test_a_dry_run_moves_nothing(tiny: Callable[[str], Shell]) -> None:
    """`data push --dry-run` prints what it would send, and does not create the data root."""
    shell = tiny("dry")
    assert "Would send 01_raw/raw.csv (12 B, only here)" in shell.ok(f"{PUSH} --dry-run").out
    assert not remote(shell, "dry").exists()


def test_a_conflict_is_one_line_and_status_1(tiny: Callable[[str], Shell]) -> None:
    """A file changed on both sides: push and pull refuse it; `pull --force` saves the edit and downloads."""
    shell = tiny("conflict")
    shell.ok(PUSH)
    raw = shell.folder / "data" / "01_raw" / "raw.csv"
    raw.write_text("a,b\n7,7\n")
    (remote(shell, "conflict") / "01_raw" / "raw.csv").write_text("a,b\n8,8\n9,9\n")
    shell.fails(PUSH, "Changed on both sides", "01_raw/raw.csv", "--force", "--theirs")
    shell.fails(f"{PULL} data/01_raw", "Kept, since you edited them: 01_raw/raw.csv", "--force", "--mine")
    kept = shell.ok(f"{PULL} data/01_raw --mine")
    assert "You edited 01_raw/raw.csv, so it is kept." in kept.err
    assert raw.read_text() == "a,b\n7,7\n"
    taken = shell.ok(f"{PULL} data/01_raw --force")
    assert "Your edits are saved in" in taken.err
    assert raw.read_text() == "a,b\n8,8\n9,9\n"
    saved = (shell.folder / "data").glob(".kedro-hybrid/saved/*/01_raw/raw.csv")
    assert [path.read_text() for path in saved] == ["a,b\n7,7\n"]
    assert "is up to date" in shell.ok(PUSH).out


def test_wrong_paths_and_pipelines(tiny: Callable[[str], Shell]) -> None:
    """Give a path outside the data folder, a missing file, an unknown pipeline: each is one error line."""
    shell = tiny("named-wrongly")
    shell.fails(f"{PUSH} ../secret.txt", "is not in the data folder")
    shell.fails(f"{PUSH} data/01_raw/nothing.csv", "does not exist")
    shell.fails(f"{PUSH} --pipelines=unknown", "no pipeline unknown", "__default__")
    shell.fails(f"{PULL} ../../etc", "is not in the data folder")


def test_all_and_paths(tiny: Callable[[str], Shell]) -> None:
    """A path sends only that file; `--all` sends the folder except outputs that exist on the cluster."""
    shell = tiny("all")
    for name in ("01_raw/more.csv", "02_intermediate/doubled.csv", "03_primary/x.csv"):
        path = shell.folder / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("local")
    shell.ok(f"{PUSH} 03_primary/x.csv")
    there = remote(shell, "all")
    assert sorted(path.name for path in there.rglob("*.csv")) == ["x.csv"]
    (there / "02_intermediate" / "doubled.csv").write_text("of the cluster")
    done = shell.ok(f"{PUSH} --all")
    assert "1 result of pipelines not sent" in done.err
    assert (there / "02_intermediate" / "doubled.csv").read_text() == "of the cluster"
    assert (there / "01_raw" / "more.csv").read_text() == "local"
