"""The state of a clone: contents after its last transfers, and those that an interrupted push was sending.

It is stored locally and not beside the data, because each clone may have another state.
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
from kedro_databricks_hybrid.transfer.files import STATE_FOLDER, Content, Entry, Version, path_of
from kedro_databricks_hybrid.transfer.manifest import ManifestCache
from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.files import LocalFile, Stamp


_UNFINISHED = ".unfinished"


class CloneState:
    """The state of one data folder and one data root.

    Args:
        data: The data folder.
        root_key: Identifies the data root: its workspace and its path.
    """

    def __init__(self, data: Path, root_key: str) -> None:
        self._data = data
        self._name = hashlib.sha256(root_key.encode()).hexdigest()[:12]
        self._root_key = root_key
        self._lock = threading.Lock()
        self._journal: IO[str] | None = None
        self.entries: dict[PurePosixPath, Entry] = {}
        self._sending: dict[PurePosixPath, set[Content]] = {}
        self._load()

    def base_contents(self) -> dict[PurePosixPath, frozenset[Content]]:
        """Return by path the remote contents that came from this clone or were pulled to it."""
        known = {path: {entry.content} for path, entry in self.entries.items()}
        for path, contents in self._sending.items():
            known.setdefault(path, set()).update(contents)
        return {path: frozenset(contents) for path, contents in known.items()}

    def will_send(self, files: Iterable[LocalFile]) -> None:
        """Record contents before they are sent: after an interruption they count as this clone's."""
        known = [file for file in files if file.content.is_known]
        for file in known:
            self._sending.setdefault(file.path, set()).add(file.content)
        self._note(
            [{"path": str(file.path), "digest": file.content.digest, "size": file.size} for file in known]
        )

    def add_sending(self, path: PurePosixPath, content: Content) -> None:
        """Record a content that became known while the file was being sent."""
        if content not in self._sending.setdefault(path, set()):
            self._sending[path].add(content)
            self._note([{"path": str(path), "digest": content.digest, "size": content.size}], sync=False)

    def unfinished(self, path: PurePosixPath, stamp: Stamp) -> UnfinishedUpload:
        """Open the journal of a large file's upload."""
        local.make_state_folder(self._data)
        return UnfinishedUpload(self._unfinished_path(path), stamp)

    def abandoned(self, sent: Collection[PurePosixPath]) -> list[UnfinishedUpload]:
        """Return the interrupted uploads whose files are not sent this time."""
        resumed = {self._unfinished_path(path) for path in sent}
        found = (self._data / STATE_FOLDER).glob(f"{self._name}.*{_UNFINISHED}")
        return [UnfinishedUpload(path) for path in sorted(found) if path not in resumed]

    @property
    def manifest_cache(self) -> ManifestCache:
        """The local copies of the root's manifest files."""
        return ManifestCache(self._data, f"{self._name}.manifest")

    def _unfinished_path(self, path: PurePosixPath) -> Path:
        name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        return local.state_path(self._data, f"{self._name}.{name}{_UNFINISHED}")

    def add_arrived(self, path: PurePosixPath, entry: Entry) -> None:
        """Record at once that a file arrived, so that an interruption does not cause reading it back."""
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

    def mark_synced(self, entries: Mapping[PurePosixPath, Entry], *, finished: bool) -> None:
        """Record the contents that the local and remote files have in common now.

        Args:
            entries: Remote versions with the content of the local files.
            finished: Whether the push completed, so that the records of what it was sending can be removed.
        """
        if any(self.entries.get(path) != entry for path, entry in entries.items()):
            self.entries.update(entries)
            local.write_state(self._data, f"{self._name}.json", self._as_text())
        self.close()
        if finished:
            for journal in self._journals():
                journal.unlink(missing_ok=True)
            self._sending = {}

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _as_text(self) -> str:
        files = {
            str(path): [entry.digest, entry.version.size, entry.version.modified]
            for path, entry in self.entries.items()
        }
        return json.dumps({"place": self._root_key, "files": files})

    def _load(self) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            text = local.state_path(self._data, f"{self._name}.json").read_text(encoding="utf-8")
            self.entries = {
                path_of(path): Entry(Version(size, modified), digest)
                for path, (digest, size, modified) in json.loads(text)["files"].items()
            }
        for journal in self._journals():
            for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be incomplete
                    self._add_note(json.loads(line))

    def _add_note(self, note: dict[str, Any]) -> None:
        path, content = path_of(note["path"]), Content(note["digest"], note["size"])
        self._sending.setdefault(path, set()).add(content)
        if "modified" in note:
            self.entries[path] = Entry(Version(content.size, note["modified"]), content.digest)

    def _journals(self) -> list[Path]:
        return sorted((self._data / STATE_FOLDER).glob(f"{self._name}.*.journal"))

    def _note(self, notes: Collection[dict[str, Any]], *, sync: bool = True) -> None:
        if not notes:
            return
        lines = "".join(json.dumps(note) + "\n" for note in notes)
        with self._lock:
            if self._journal is None:
                name = f"{self._name}.{secrets.token_hex(4)}.journal"
                self._journal = (local.make_state_folder(self._data) / name).open("a", encoding="utf-8")
            self._journal.write(lines)
            self._journal.flush()
            if sync:  # after the flush, a killed process loses nothing
                os.fsync(self._journal.fileno())
