"""Pushing files as they are, in rarer states of the folder there and of the working tree here."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid import files_folder
from tests.code.test_files import filed, mirror, mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.code.site import Site

__all__ = ["filed"]


def test_beside_a_git_folder_at_home() -> None:
    """Outside of /Repos the files lie beside the Git folder."""
    beside = files_folder.path_beside(PurePosixPath("/Workspace/Users/ann/shop"), "ann")
    assert beside == PurePosixPath("/Workspace/Users/ann/shop-files")


def test_an_empty_folder_is_taken(filed: Site) -> None:
    """Nobody's files are in it."""
    mirror(filed).mkdir(parents=True)
    filed.call("push", "--no-data")
    assert "requirements.txt" in mirrored(filed)


def test_a_file_that_is_gone_on_both_sides(filed: Site) -> None:
    """Somebody has deleted it there already, which is what was wanted."""
    filed.write({"gone.txt": "x\n"})
    filed.call("push", "--no-data")
    (mirror(filed) / "gone.txt").unlink()
    filed.write({"gone.txt": None})
    assert "1 deleted" in filed.call("push", "--no-data").output


def test_a_file_that_does_not_show(filed: Site) -> None:
    """What was sent is looked for, and missed."""

    def delete(asked: str) -> None:
        if asked == "GET /api/2.0/workspace/list":
            (mirror(filed) / "new.txt").unlink(missing_ok=True)

    filed.write({"new.txt": "x\n"})
    filed.requests.on_request = delete
    assert "new.txt was sent, but Databricks does not show it" in filed.call(
        "push", "--no-data", status=1
    ).output.replace("\n", " ")


def test_a_dry_run_names_the_first_files(filed: Site) -> None:
    """Of many, the rest are counted."""
    filed.call("push", "--no-data")
    filed.write({f"many/{number}.txt": "x\n" for number in range(7)})
    said = filed.call("push", "--no-data", "--dry-run").output
    assert said.count("Would send many/") == 5
    assert "Would send 2 files more" in said


def test_watching_goes_on_after_an_error(filed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, and the next edit arrives; without edits nothing is said, nor for an empty commit."""

    def edits() -> Iterator[None]:
        yield
        filed.git("init", "-q", "nested")
        yield
        yield
        filed.git("-C", "nested", "commit", "-q", "--allow-empty", "-m", "x")
        filed.write({"after.txt": "x\n"})
        yield
        filed.git("add", "after.txt")
        filed.commit({}, "Empty of news")
        yield

    steps = edits()

    def pause(_: float) -> None:
        if next(steps, StopIteration) is StopIteration:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    said = filed.call("push", "--no-data", "--watch").output
    assert said.count("Trying again.") == 1
    assert "Stopped watching." in said
    assert mirrored(filed)["after.txt"] == b"x\n"
