"""The local data folder: listing, reading and writing it, and paths in it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import resource
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.errors import MachineError, TransferError
from kedro_databricks_hybrid.transfer import checks, local
from kedro_databricks_hybrid.transfer.local import Digests
from kedro_databricks_hybrid.transfer.upload import ChangedError, Source
from tests.transfer.conftest import fill

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_only_regular_files_are_data(data: Path) -> None:
    """A pipe, a socket or a dangling link has no content to send."""
    before = list(local.find_files(data))
    os.mkfifo(data / "01_raw" / "pipe")
    (data / "01_raw" / "dangling").symlink_to(data / "nothing")
    assert list(local.find_files(data)) == before


def test_a_chosen_link_that_leaves_is_refused(data: Path, tmp_path: Path) -> None:
    """A link that leads out of the data folder is refused, also if it is given as an argument."""
    fill(tmp_path / "outside", {"secret.csv": b"secret"})
    (data / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(TransferError, match=r"^out is a link to .*outside, outside the data folder"):
        local.find_files(data, [data / "out"])


@pytest.mark.parametrize(
    ("links", "named"),
    [
        ({"01_raw/loop": "."}, "01_raw/loop"),
        ({"01_raw/deep/up": "../.."}, "01_raw/deep/up"),
        ({"01_raw/in": "../03_primary", "03_primary/in": "../01_raw"}, "01_raw/in/in|03_primary/in/in"),
        ({"01_raw/a": "../03_primary", "03_primary/b": "../01_raw/deep", "01_raw/deep/c": ".."}, ".*/[abc]"),
    ],
)
def test_a_link_loop_is_refused(data: Path, links: dict[str, str], named: str) -> None:
    """A loop of one or several links is refused; the error names the link that closes it."""
    for name, target in links.items():
        (data / name).symlink_to(target)
    with pytest.raises(TransferError, match=rf"^({named}) is a link to a folder above it .*Remove the link"):
        local.find_files(data)


def test_very_many_links_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of a few folders has two links to the next one: more paths than can be walked."""
    monkeypatch.setattr(local, "_MOST_LINKS", 100)
    for level in range(40):
        fill(tmp_path, {f"{level:02}/file": b""})
        for name in ("left", "right"):
            (tmp_path / f"{level:02}" / name).symlink_to(f"../{level + 1:02}")
    with pytest.raises(TransferError, match="more than 100 folders behind links"):
        local.find_files(tmp_path)


def test_a_chosen_link_to_nothing_is_an_error(data: Path) -> None:
    """A link to itself or to a missing file is named, with the system's reason."""
    (data / "loop").symlink_to(data / "loop")
    (data / "dangling").symlink_to(data / "nothing")
    with pytest.raises(TransferError, match=r"loop cannot be read: Too many levels of symbolic links\. Fix"):
        local.find_files(data, [data / "loop"])
    with pytest.raises(TransferError, match=r"dangling cannot be read: No such file or directory\. Fix"):
        local.find_files(data, [data / "dangling"])


@pytest.mark.parametrize("name", ["01_raw/a.csv", "03_primary/large.bin"])
def test_a_file_that_vanishes_before_it_is_read_is_an_error(data: Path, name: str) -> None:
    """The error names it, whether it is small or large."""
    found = local.find_files(data)
    (data / name).unlink()
    with pytest.raises(TransferError, match=rf"{name} cannot be read: No such file"):
        local.read_files(data, found, Digests(data))


def test_a_file_in_the_way_of_the_state_folder_is_an_error(tmp_path: Path) -> None:
    """A file has the name of the state folder: an error."""
    fill(tmp_path, {"data/.kedro-hybrid": b""})
    with pytest.raises(TransferError, match=r"\.kedro-hybrid cannot be written: File exists\. Fix"):
        local.write_state(tmp_path / "data", "x.json", "{}")


def test_a_state_file_that_cannot_be_replaced_is_an_error(tmp_path: Path) -> None:
    """The old file stays, and no draft of the new one is left."""
    fill(tmp_path, {".kedro-hybrid/x.json/in the way": b""})
    with pytest.raises(TransferError, match=r"x\.json cannot be written: Is a directory\. Fix"):
        local.write_state(tmp_path, "x.json", "{}")
    assert {path.name for path in (tmp_path / ".kedro-hybrid").iterdir()} == {".gitignore", "x.json"}


@contextlib.contextmanager
def no_space() -> Iterator[None]:
    """Let this process write no bytes to any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("file", [".kedro-hybrid", ".kedro-hybrid/digests.json", ".kedro-hybrid/x.json"])
def test_a_full_disk_has_the_same_message_for_every_state_file(
    data: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk gives the same message, whichever state file is written first."""
    monkeypatch.setattr(local, "_TOO_FRESH_NS", -(10**18))
    known = Digests(data)
    local.read_files(data, local.find_files(data), known)
    if file != ".kedro-hybrid":
        local.make_state_folder(data)
    words = rf"^File too large \({re.escape(str(data / file))}\)\. Allow larger files"
    with pytest.raises(MachineError, match=words), no_space():
        known.save() if "digests" in file else local.write_state(data, "x.json", "{}")
    known.save()
    assert (data / ".kedro-hybrid" / "digests.json").is_file()


def test_too_many_open_files_have_the_same_message(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files is reported as the machine's error, not as an error of the file."""

    def exhausted(file: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(file))

    found = local.find_files(data)
    monkeypatch.setattr(local, "content_of", exhausted)
    with pytest.raises(MachineError, match=r"^Too many open files \(.*data/.*\)"):
        local.read_files(data, found, Digests(data))


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("01_raw/" + "ä" * 128, "contains a name longer than 255 bytes"),
        ("deep/" * 700 + "a.csv", "is longer than 3000 bytes"),
    ],
    ids=["name", "path"],
)
def test_names_that_are_too_long_are_refused(path: str, problem: str) -> None:
    """Counted in bytes, as on Databricks; the message shows only the beginning of the path."""
    with pytest.raises(TransferError, match=rf"{problem}\. Rename it\.$") as caught:
        checks.refuse_names([PurePosixPath(path)])
    assert len(str(caught.value)) < 400
    checks.refuse_names([PurePosixPath("01_raw", "x" * 255), PurePosixPath("deep/" * 300)])


@pytest.mark.parametrize(
    ("cause", "hint"),
    [
        (errno.EACCES, "Make it writable for you, then pull again."),
        (errno.ENOTDIR, "Move or delete the local file or folder"),
        (errno.ENAMETOOLONG, "Rename it on Databricks"),
        (errno.ENOENT, "Pull again."),
    ],
)
def test_the_hint_depends_on_the_disks_error(tmp_path: Path, cause: int, hint: str) -> None:
    """The disk's error decides the hint; the message names the file, not its draft."""
    draft = tmp_path / f".00000000.11111111{local.PART_SUFFIX}"
    with pytest.raises(TransferError) as caught, checks.writing(tmp_path / "a.csv"):
        raise OSError(cause, os.strerror(cause), str(draft))
    said = f"{tmp_path / 'a.csv'} cannot be written: {os.strerror(cause)}. {hint}"
    assert str(caught.value).startswith(said)


def test_a_full_disk_names_the_file_and_not_its_draft(tmp_path: Path) -> None:
    """A full disk is reported with the file's name, in the same words by every command."""
    draft = tmp_path / f".00000000.11111111{local.PART_SUFFIX}"
    with pytest.raises(MachineError) as caught, checks.writing(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, "No space left on device", str(draft))
    said = f"No space left on device ({tmp_path / 'a.csv'}). Free some space,"
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "01/../../x", ".kedro-hybrid/x.json", "01/.00000000.11111111.kedro-part"]
)
def test_names_that_would_leave_the_data_folder_are_refused(path: str) -> None:
    """A remote name that leads out of the data folder, or into its state, is refused."""
    with pytest.raises(TransferError, match="cannot be pulled"):
        checks.refuse_escapes([PurePosixPath("01/fine.csv"), PurePosixPath(path)])


def test_a_source_is_a_stream_that_can_be_rewound(tmp_path: Path) -> None:
    """A file to send can be rewound only to its start; reading it raises if it has become shorter."""
    file = tmp_path / "a.bin"
    file.write_bytes(b"0123456789")
    counted: list[int] = []
    with Source(file, counted.append) as source:
        assert source.readable()
        assert source.seekable()
        assert (source.read(4), source.tell(), source.seek(0), source.read()) == (
            b"0123",
            4,
            0,
            b"0123456789",
        )
        assert source.read() == b""
        assert sum(counted) == 10
        with pytest.raises(io.UnsupportedOperation):
            source.seek(3)
        source.seek(0)
        file.write_bytes(b"01")
        assert source.read() == b"01"
        with pytest.raises(ChangedError):
            source.read()
