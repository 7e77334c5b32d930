"""Find edits made in the Git folder: git compares its files with its head commit."""

from __future__ import annotations

import hashlib
import json
import posixpath
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.answers import check_listing, decoded
from kedro_databricks_hybrid.databricks.link_loops import LinkLoops
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import GitError, WorkspaceError
from kedro_databricks_hybrid.git.repository import NO_CONFIGURATION, is_written_by_runs
from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown
from kedro_databricks_hybrid.parallel import run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from databricks.sdk.service.workspace import ObjectInfo

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository

_EXTENSIONS = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}
_RULES = (".gitignore", ".gitattributes")
_TOO_FRESH_MS = 2000


@dataclass(frozen=True)
class Edits:
    """How a Git folder differs from its head commit.

    Args:
        base: The head commit.
        tree: The id of the git tree with the Git folder's files.
        paths: The paths that differ, with git's letter: M changed, A new, D deleted.
        left_out: Start-up files that differ too but that the user did not accept; the tree has the commit's.
        by_runs: Paths that differ too but that runs write, such as caches; the tree has the commit's.
    """

    base: str
    tree: str
    paths: dict[str, str]
    left_out: tuple[str, ...] = ()
    by_runs: tuple[str, ...] = ()

    @property
    def are_by_runs(self) -> bool:
        """Whether only runs wrote something."""
        return bool(self.by_runs) and not self.paths and not self.left_out

    def __str__(self) -> str:
        words = {"A": " (new)", "D": " (deleted)"}
        named = [f"{shown(path)} (not saved)" for path in self.left_out]
        named += [f"{shown(path)}{words.get(letter, '')}" for path, letter in self.paths.items()]
        return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")


@dataclass(frozen=True)
class _Object:
    """A file, a notebook, a folder or an object of another kind, with its path in the Git folder.

    Args:
        path: Its path in the Git folder.
        address: Its path in the workspace.
        kind: Its type.
        language: The language of a notebook.
        version: Its id, size and time of the last change; None if Databricks lists none or that is recent.
    """

    path: str
    address: str
    kind: str
    language: str | None = None
    version: str | None = None


def read(
    workspace: Workspace,
    folder: GitFolder,
    repository: Repository,
    *,
    may_take: Callable[[Sequence[str]], bool] | None = None,
    checked: dict[str, str] | None = None,
) -> Edits:
    """Compare every file of a Git folder with its head commit, with the ignore rules of that commit.

    Args:
        workspace: The workspace of the folder.
        folder: The Git folder, whose head commit must be in the local repository.
        repository: The local repository.
        may_take: Called with edited start-up files that the working tree does not have; returns consent. With
            it, the edited files are written into the repository's object store, to commit them later.
        checked: The versions of files, by path, that an earlier call found to be the commit's: they are not
            read again. Replaced with those that this call finds.

    Raises:
        GitError: The head commit is missing locally, or the folder has a path that must not be written here.
        WorkspaceError: A file cannot be read, such as one over Databricks' export limit of 10 MB.
    """
    if folder.sha is None or repository.commit(folder.sha) is None:
        commit = folder.sha[:7] if folder.sha else "no commit"
        raise GitError(
            f"The Git folder {folder.path} is at {commit}, which this repository lacks, "
            "so its files cannot be compared with it.",
            hint="If it was committed on Databricks, push it from there; then run `git fetch`.",
        )
    with _scratch(repository, folder.sha, keep=may_take is not None) as scratch:
        tracked = scratch.tracked()
        links = _CommittedLinks(workspace, folder, scratch.links())
        objects = list(_objects(workspace, folder, scratch, links))
        found = _with_extensions(workspace, objects, {*tracked, *links.texts})
        unreadable = tuple(each.path for each in objects if each.kind not in {"FILE", "NOTEBOOK"})
        untracked = [path for path in found if path not in tracked]
        ignored = scratch.ignored(untracked)
        wanted = {path: each for path, each in found.items() if path not in ignored}
        versions = {
            path: f"{tracked[path]} {each.version}"
            for path, each in wanted.items()
            if path in tracked and each.version
        }
        known = {path for path, version in versions.items() if (checked or {}).get(path) == version}
        unknown = [(path, each) for path, each in wanted.items() if path not in known]
        read_all = run_all(lambda item: _content(workspace, *item), unknown)
        contents = dict(zip([path for path, _ in unknown], read_all, strict=True))
        changed = {}
        for path, content in contents.items():
            if path in links.texts and links.is_file(path, content, contents):
                continue
            edited = (
                scratch.edited(path, content, tracked[path], wanted[path]) if path in tracked else content
            )
            if edited is not None:
                changed[path] = edited
        if checked is not None:
            checked.clear()
            checked |= {path: version for path, version in versions.items() if path not in changed}
        asked = [path for path in changed if judge(path) is Verdict.ASK]
        asked = [path for path in asked if not _is_here(repository.top / path, changed[path])]
        left_out = asked if asked and may_take and not may_take(asked) else []
        deleted = [path for path in tracked if path not in found and not _is_part_of(path, unreadable)]
        by_runs = tuple(path for path in (*changed, *deleted) if is_written_by_runs(path))
        unsaved = {*left_out, *by_runs}
        tree = scratch.write(
            {path: content for path, content in changed.items() if path not in unsaved},
            [path for path in deleted if path not in unsaved],
        )
        return Edits(folder.sha, tree, scratch.changes(tree), tuple(left_out), by_runs)


class _Scratch:
    """A commit's index in a temporary folder, with the commit's own rules about what to ignore.

    Its git reads no configuration, as the files come from Databricks: a filter or monitor that the user's
    configuration names by a relative path would run the file of that name from the Git folder.
    """

    def __init__(self, repository: Repository, sha: str, folder: Path, *, keep: bool) -> None:
        self._repository = repository
        self._sha = sha
        self._files = folder / "files"
        self._files.mkdir()
        asked = ("--show-object-format", "--path-format=absolute", "--git-path", "objects")
        kind, objects = repository.ask("rev-parse", *asked).split("\n")[:2]
        self._variables = {
            **NO_CONFIGURATION,
            "GIT_DIR": str(folder / "git"),
            "GIT_WORK_TREE": str(self._files),
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_DEFAULT_HASH": kind,
        }
        if not keep:
            (folder / "objects").mkdir()
            self._variables |= {
                "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
            }
        self._ask("init", "--quiet", "--template=")
        self._ask("read-tree", sha)
        for path, blob in self.tracked().items():
            if path.rpartition("/")[2] in _RULES:
                self._put(path, repository.run("cat-file", "blob", blob).stdout)

    def tracked(self) -> dict[str, str]:
        """Return the commit's files, without links and submodules, with the ids of their blobs."""
        return self._entries("100")

    def links(self) -> dict[str, str]:
        """Return the commit's links with their texts: where they lead."""
        return {
            path: self._repository.run("cat-file", "blob", blob).stdout.decode("utf-8", "surrogateescape")
            for path, blob in self._entries("120").items()
        }

    def _entries(self, mode: str) -> dict[str, str]:
        entries = self._ask("ls-files", "--stage", "-z").split("\0")
        split = [entry.partition("\t") for entry in entries if entry.startswith(mode)]
        return {path: entry.split()[1] for entry, _, path in split}

    def ignored(self, paths: Iterable[str]) -> set[str]:
        """Return the paths that the commit's .gitignore ignores."""
        result = self._repository.run(
            *self._before(), "check-ignore", "-z", "--stdin", given=_lines(paths), variables=self._variables
        )
        return set(result.stdout.decode("utf-8", "surrogateescape").split("\0")) - {""}

    def edited(self, path: str, content: bytes, committed: str, found: _Object) -> bytes | None:
        """Return a file's new content, None if it is the commit's; notebooks may be formatted differently."""
        digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
        digest.update(content)
        if digest.hexdigest() == committed:
            return None
        if found.kind != "NOTEBOOK":
            return content
        before = self._repository.run("cat-file", "blob", committed).stdout
        if _same_notebook(path, before, content):
            return None
        is_source = not path.endswith(".ipynb")
        # Databricks exports source without a newline at the end.
        return content.rstrip(b"\n") + b"\n" if is_source and before.endswith(b"\n") else content

    def write(self, changed: dict[str, bytes], deleted: list[str]) -> str:
        """Add edits to the index and return the id of the resulting tree."""
        for path, content in changed.items():
            self._put(path, content)
        self._ask("update-index", "--force-remove", "-z", "--stdin", given=_lines(deleted))
        self._ask("update-index", "--add", "--replace", "-z", "--stdin", given=_lines(changed))
        return self._ask("write-tree").strip()

    def changes(self, tree: str) -> dict[str, str]:
        """Return the paths where a tree differs from the commit, with git's letters."""
        fields = self._ask("diff-tree", "-r", "-z", "--name-status", "--no-renames", self._sha, tree)
        parts = iter(fields.split("\0"))
        return {path: letter for letter, path in zip(parts, parts, strict=False)}

    def _put(self, path: str, content: bytes) -> None:
        file = self._files / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def _ask(self, *arguments: str, given: str = "") -> str:
        return self._repository.ask(*self._before(), *arguments, given=given, variables=self._variables)

    def _before(self) -> tuple[str, ...]:
        return ("-C", str(self._files), "-c", "core.fileMode=false", "-c", "core.autocrlf=false")


@contextmanager
def _scratch(repository: Repository, sha: str, *, keep: bool) -> Iterator[_Scratch]:
    with TemporaryDirectory() as folder:
        yield _Scratch(repository, sha, Path(folder).resolve(), keep=keep)


class _CommittedLinks:
    """The links of a commit. Databricks may list nothing there, what they lead to, or a file with their text.

    Args:
        workspace: The workspace of the Git folder.
        folder: The Git folder.
        texts: The text of each link by its path: where it leads.
    """

    def __init__(self, workspace: Workspace, folder: GitFolder, texts: dict[str, str]) -> None:
        self._workspace = workspace
        self._root = str(folder.path)
        self.texts = texts

    def is_file(self, path: str, content: bytes, contents: Mapping[str, bytes]) -> bool:
        """Tell whether the file at a link's path is the link, and not a file that replaced it.

        Args:
            path: The link's path.
            content: The content of the file.
            contents: The contents of the files of the Git folder.
        """
        if content == self.texts[path].encode("utf-8", "surrogateescape"):
            return True
        target = self._target(path)
        inside = posixpath.relpath(target, self._root)
        there = contents.get(inside)
        return content == (self._content(_Object(inside, target, "FILE")) if there is None else there)

    def is_folder(self, link: _Object) -> bool:
        """Tell whether the folder at a link's path has the files of the folder that the link leads to."""
        loops = LinkLoops(self._root, GitError)
        waiting = [(link.path, link.address, self._target(link.path))]
        while waiting:
            path, address, target = waiting.pop()
            here, there = self._list(address, target), self._list(target, target)
            if here is None or there is None or here.keys() != there.keys():
                return False
            loops.enter(PurePosixPath(path), [name for name, _ in here])
            for name, kind in here:
                if kind == "DIRECTORY":
                    waiting.append((f"{path}/{name}", f"{address}/{name}", f"{target}/{name}"))
                elif not self._is_same_file(here[name, kind], there[name, kind]):
                    return False
        return True

    def _target(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._root, posixpath.dirname(path), self.texts[path]))

    def _list(self, address: str, target: str) -> dict[tuple[str, str], ObjectInfo] | None:
        """Return the objects in a folder by name and kind, without links that the target has in the commit.

        Whether a link behind another link is listed depends on where both lead.
        """
        try:
            entries = _list(self._workspace, address)
        except WorkspaceError:
            return None
        inside = posixpath.relpath(target, self._root)
        named = {(PurePosixPath(str(each.path)).name, _kind(each)): each for each in entries}
        return {
            (name, kind): each
            for (name, kind), each in named.items()
            if posixpath.normpath(f"{inside}/{name}") not in self.texts
        }

    def _is_same_file(self, one: ObjectInfo, other: ObjectInfo) -> bool:
        stamps = [(each.size, each.modified_at) for each in (one, other)]
        if stamps[0] == stamps[1] and one.modified_at is not None:
            return True
        contents = [self._content(_Object("", str(each.path), _kind(each))) for each in (one, other)]
        return contents[0] is not None and contents[0] == contents[1]

    def _content(self, found: _Object) -> bytes | None:
        try:
            return _content(self._workspace, found.path, found)
        except WorkspaceError:
            return None


def _objects(
    workspace: Workspace, folder: GitFolder, scratch: _Scratch, links: _CommittedLinks
) -> Iterator[_Object]:
    """Yield the objects of a Git folder, but not those behind its committed links."""
    for each in _walk(workspace, folder, scratch, links.texts, _Object("", str(folder.path), "DIRECTORY")):
        if each.kind != "DIRECTORY":
            yield each
        elif not links.is_folder(each):
            yield from _walk(workspace, folder, scratch, (), each)


def _walk(
    workspace: Workspace, folder: GitFolder, scratch: _Scratch, links: Collection[str], start: _Object
) -> Iterator[_Object]:
    """Yield the objects below a folder, level by level, except in folders that git ignores.

    Folders at the paths of links are yielded, not entered.
    """
    root = PurePosixPath(str(folder.path).removeprefix("/Workspace"))
    loops = LinkLoops(str(folder.path), GitError)
    level = [start]
    while level:
        below: dict[str, _Object] = {}
        for above, listing in zip(
            level, run_all(lambda each: _list(workspace, each.address), level), strict=True
        ):
            if any(_kind(entry) == "DIRECTORY" for entry in listing):
                names = [PurePosixPath(str(entry.path)).name for entry in listing]
                loops.enter(PurePosixPath(above.path), names)
            for entry in listing:
                address = str(entry.path)
                path = str(PurePosixPath(address.removeprefix("/Workspace")).relative_to(root))
                if path == ".git":
                    continue  # git ignores its own folder too
                if judge(path) is Verdict.REFUSE:
                    raise GitError(
                        f"The Git folder {folder.path} has {shown(path)}, which git would act on here.",
                        hint="Delete or rename it on Databricks; nothing was saved or discarded.",
                    )
                language = entry.language.value if entry.language else None
                found = _Object(path, address, _kind(entry), language, _version(entry))
                if found.kind == "DIRECTORY" and path not in links:
                    below[f"{path}/"] = found
                else:
                    yield found
        ignored = scratch.ignored(below)
        level = [each for path, each in below.items() if path not in ignored]


def _list(workspace: Workspace, address: str) -> list[ObjectInfo]:
    with translated(f"list {address}"):
        listed = list(workspace.client.workspace.list(address))
        _check(address, listed)
    return listed


def _check(address: str, listed: list[ObjectInfo]) -> None:
    """Check a listing; a notebook and a file of its name are different files, as one has no extension."""
    for is_notebook in (False, True):
        same_kind = [each for each in listed if (_kind(each) == "NOTEBOOK") is is_notebook]
        paths = [str(each.path).removeprefix("/Workspace") for each in same_kind]
        check_listing(PurePosixPath(address.removeprefix("/Workspace")), paths)


def _kind(entry: ObjectInfo) -> str:
    return entry.object_type.value if entry.object_type else ""


def _version(entry: ObjectInfo) -> str | None:
    """Return a file's version; None while another change could get the same time."""
    changed = entry.modified_at
    if changed is None or entry.size is None or time.time() * 1000 - changed < _TOO_FRESH_MS:
        return None
    return f"{entry.object_id} {entry.size} {changed}"


def _is_part_of(path: str, objects: tuple[str, ...]) -> bool:
    """Tell whether a file is one of these objects, which may be shown without its extension."""
    return any(path == each or path.startswith((f"{each}.", f"{each}/")) for each in objects)


def _with_extensions(
    workspace: Workspace, objects: Sequence[_Object], known: Collection[str]
) -> dict[str, _Object]:
    """Return files and notebooks by their file's path; the workspace lists notebooks without an extension.

    A file and a notebook of one name may both exist: then the notebook is of another format.
    """
    found = {each.path: each for each in objects if each.kind == "FILE"}
    new = []
    for each in (each for each in objects if each.kind == "NOTEBOOK"):
        paths = [path for path in _paths_of_notebook(each) if path in known and path not in found]
        if paths:
            found[paths[0]] = each
        else:
            new.append(each)
    paths_of_new = run_all(lambda each: _path_of_new(workspace, each), new)
    return found | dict(zip(paths_of_new, new, strict=True))


def _paths_of_notebook(notebook: _Object) -> list[str]:
    """Return the paths that a notebook's file may have."""
    own = _EXTENSIONS.get(notebook.language or "", ".py")
    return [f"{notebook.path}{ending}" for ending in (own, ".ipynb", own.upper())]


def _path_of_new(workspace: Workspace, notebook: _Object) -> str:
    """Return the path of the file that Databricks makes of a notebook that is not committed."""
    query = {"path": notebook.address, "return_export_info": "true"}
    with translated(f"look at {notebook.address}"):
        status: Any = workspace.client.api_client.do("GET", "/api/2.0/workspace/get-status", query=query)
    source, jupyter, _ = _paths_of_notebook(notebook)
    return jupyter if status.get("repos_export_format") == "JUPYTER" else source


def _content(workspace: Workspace, path: str, found: _Object) -> bytes:
    from databricks.sdk.service.workspace import ExportFormat

    kind = ExportFormat.AUTO
    if found.kind == "NOTEBOOK":
        kind = ExportFormat.JUPYTER if path.endswith(".ipynb") else ExportFormat.SOURCE
    with translated(f"read {found.address}"):
        return decoded(workspace.client.workspace.export(found.address, format=kind).content)


def _is_here(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _same_notebook(path: str, one: bytes, other: bytes) -> bool:
    """Tell whether two files of a notebook have the same cells; exports may differ in format."""
    if not path.endswith(".ipynb"):
        return one.replace(b"\r\n", b"\n").rstrip(b"\n") == other.replace(b"\r\n", b"\n").rstrip(b"\n")
    try:
        cells = [json.loads(text)["cells"] for text in (one, other)]
        first, second = ([(c["cell_type"], "".join(c["source"])) for c in each] for each in cells)
    except (ValueError, KeyError, TypeError):
        return False
    return first == second


def _lines(paths: Iterable[str]) -> str:
    return "".join(f"{path}\0" for path in paths)
