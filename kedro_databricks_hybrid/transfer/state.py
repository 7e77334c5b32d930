"""What this clone had in step with a data root, and what an interrupted push was sending.

Two clones on one root may each be behind in their own way, so this is kept here and not beside the data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import threading
from typing import IO, TYPE_CHECKING, Any

from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.files import OURS, Content, Entry, Version, path_of
from kedro_databricks_hybrid.transfer.manifest import Copies
from kedro_databricks_hybrid.transfer.upload_journal import Unfinished

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.files import LocalFile, Stamp


_UNFINISHED = ".unfinished"


class CloneState:
    """The state of one data folder towards one data root.

    Args:
        data: The data folder.
        place: Names the data root: its workspace and its path.
    """

    def __init__(self, data: Path, place: str) -> None:
        self._data = data
        self._name = hashlib.sha256(place.encode()).hexdigest()[:12]
        self._place = place
        self._lock = threading.Lock()
        self._journal: IO[str] | None = None
        self.entries: dict[PurePosixPath, Entry] = {}
        self._sending: dict[PurePosixPath, set[Content]] = {}
        self._load()

    def before(self) -> dict[PurePosixPath, frozenset[Content]]:
        """Return the contents that count as this clone's own, by path."""
        known = {path: {entry.content} for path, entry in self.entries.items()}
        for path, contents in self._sending.items():
            known.setdefault(path, set()).update(contents)
        return {path: frozenset(contents) for path, contents in known.items()}

    def will_send(self, files: Iterable[LocalFile]) -> None:
        """Note what is about to be sent, so that after an interruption it is known for our own."""
        known = [file for file in files if file.content.is_known]
        for file in known:
            self._sending.setdefault(file.path, set()).add(file.content)
        self._note(
            [{"path": str(file.path), "digest": file.content.digest, "size": file.size} for file in known]
        )

    def is_sending(self, path: PurePosixPath, content: Content) -> None:
        """Note what a file turned out to hold while it was read to be sent."""
        if content not in self._sending.setdefault(path, set()):
            self._sending[path].add(content)
            self._note([{"path": str(path), "digest": content.digest, "size": content.size}], sync=False)

    def unfinished(self, path: PurePosixPath, stamp: Stamp) -> Unfinished:
        """Return what an interrupted upload of a file got done."""
        local.make_own_folder(self._data)
        return Unfinished(self._place_of(path), stamp)

    def abandoned(self, sent: Collection[PurePosixPath]) -> list[Unfinished]:
        """Return interrupted uploads that will not go on, since their files are not sent this time."""
        kept = {self._place_of(path) for path in sent}
        places = (self._data / OURS).glob(f"{self._name}.*{_UNFINISHED}")
        return [Unfinished(place) for place in sorted(places) if place not in kept]

    @property
    def manifest_copies(self) -> Copies:
        """The copies of manifest files that need not be read again."""
        return Copies(self._data, f"{self._name}.manifest")

    def _place_of(self, path: PurePosixPath) -> Path:
        name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        return local.own_path(self._data, f"{self._name}.{name}{_UNFINISHED}")

    def sent(self, path: PurePosixPath, entry: Entry) -> None:
        """Note one file that arrived, for those that nobody wants to compare again."""
        version = entry.version
        self._note(
            [
                {
                    "path": str(path),
                    "digest": entry.digest,
                    "size": version.size,
                    "modified": version.modified,
                }
            ]
        )

    def in_step(self, entries: Mapping[PurePosixPath, Entry], *, finished: bool) -> None:
        """Keep what both sides hold now.

        Args:
            entries: Remote versions whose contents are the local ones.
            finished: Whether everything that was noted before has been seen to.
        """
        if any(self.entries.get(path) != entry for path, entry in entries.items()):
            self.entries.update(entries)
            local.write_own(self._data, f"{self._name}.json", self._as_text())
        self.close()
        if finished:
            for journal in self._journals():
                journal.unlink(missing_ok=True)
            self._sending = {}

    def close(self) -> None:
        """Close what was written to."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _as_text(self) -> str:
        files = {
            str(path): [entry.digest, entry.version.size, entry.version.modified]
            for path, entry in self.entries.items()
        }
        return json.dumps({"place": self._place, "files": files})

    def _load(self) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            text = local.own_path(self._data, f"{self._name}.json").read_text(encoding="utf-8")
            self.entries = {
                path_of(path): Entry(Version(size, modified), digest)
                for path, (digest, size, modified) in json.loads(text)["files"].items()
            }
        for journal in self._journals():
            for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be cut off
                    self._take(json.loads(line))

    def _take(self, note: dict[str, Any]) -> None:
        path, content = path_of(note["path"]), Content(note["digest"], note["size"])
        self._sending.setdefault(path, set()).add(content)
        if "modified" in note:
            self.entries[path] = Entry(Version(content.size, note["modified"]), content.digest)

    def _journals(self) -> list[Path]:
        return sorted((self._data / OURS).glob(f"{self._name}.*.journal"))

    def _note(self, notes: Collection[dict[str, Any]], *, sync: bool = True) -> None:
        if not notes:
            return
        lines = "".join(json.dumps(note) + "\n" for note in notes)
        with self._lock:
            if self._journal is None:
                name = f"{self._name}.{secrets.token_hex(4)}.journal"
                self._journal = (local.make_own_folder(self._data) / name).open("a", encoding="utf-8")
            self._journal.write(lines)
            self._journal.flush()
            if sync:  # a process that is killed needs no more than the flush
                os.fsync(self._journal.fileno())
