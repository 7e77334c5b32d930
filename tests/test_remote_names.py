"""Functions that turn a remote name into a local path keep it in its folder, or refuse it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from databricks.sdk.core import Config
from databricks.sdk.service.files import DirectoryEntry, FileInfo
from databricks.sdk.service.workspace import Language, ObjectInfo, ObjectType
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kedro_databricks_hybrid.databricks import git_folder_edits
from kedro_databricks_hybrid.databricks.client import Client
from kedro_databricks_hybrid.databricks.git_folder import GitFolder
from kedro_databricks_hybrid.databricks.workspace import Workspace
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge
from kedro_databricks_hybrid.run.local_state import STATE_VARIABLE, Bookmark, ContextStore
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.layout import Layout, names_of
from kedro_databricks_hybrid.sandbox.dbfs.model import Dbfs
from kedro_databricks_hybrid.sandbox.volumes.model import VolumeFiles
from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox
from kedro_databricks_hybrid.transfer import checks
from kedro_databricks_hybrid.transfer.files import STATE_FOLDER
from kedro_databricks_hybrid.transfer.manifest import ManifestCache
from kedro_databricks_hybrid.transfer.trees.dbfs import DbfsTree
from kedro_databricks_hybrid.transfer.trees.volumes import VolumeTree
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

PIECES = [
    *(
        "..",
        ".",
        "",
        "/",
        "\\",
        "\0",
        "~",
        "C:",
        "a",
        "x.csv",
        ".git",
        ".GIT",
        "git~1",
        ".git ",
        ".kedro-hybrid",
    ),
    *("%2e%2e", "\udcff", "\ud800", "\n", "\u202e", "é", "e\u0301", "n" * 300, "...", "a:b", "$HOME", "-rf"),
    *(".kedro-hybrid", ".12345678.12345678.kedro-part", "con", "aux.json", "x.json.gz"),
]
NAMES = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=5).map("/".join),
    st.lists(st.sampled_from(PIECES), max_size=3).map("".join),
    st.text(max_size=20),
)


class Places:
    """The folders that paths must stay in, each with a link that leads out, and a sandbox."""

    def __init__(self, top: Path) -> None:
        self.data = top / "data"
        self.files = top / "files"
        self.state = top / "state"
        for folder in (self.data, self.files, self.state):
            folder.mkdir()
        self.sandbox = Sandbox(Layout(top / "home"))
        self.layout = self.sandbox.layout
        self.server = serve(self.sandbox)
        config = Config(host=self.sandbox.url, token=self.sandbox.user.token, auth_type="pat")
        self.workspace = Workspace(Client(config), self.sandbox.user.name, None)


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    """Return them."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_VARIABLE, str(Path(folder, "state")))
        made = Places(Path(os.path.realpath(folder)))
        yield made
        made.server.stop()


def _pulled(tree: RemoteTree, places: Places, *listings: object) -> list[Path]:
    """Write the files that an API lists as a pull does, and return their local paths."""

    def pulled(api: object) -> list[Path]:
        cast("Any", tree)._api = api  # noqa: SLF001 - no request is needed to list what a test has made up
        listing = tree.list(PurePosixPath())
        paths = [file.path for file in listing.files] if listing else []
        checks.refuse_escapes(paths)
        return [places.data / path for path in paths]

    return [path for api in listings for path in _or_none(partial(pulled, api))]


def from_dbfs(name: str, places: Places) -> list[Path]:
    """Return the local path of a file that DBFS lists."""
    tree = DbfsTree(places.workspace, "dbfs:/root")
    entries = [FileInfo(path=path, is_dir=False, file_size=1) for path in (name, f"/root/{name}")]
    return _pulled(tree, places, *(SimpleNamespace(list=lambda _, one=one: [one]) for one in entries))


def from_volume(name: str, places: Places) -> list[Path]:
    """Return the local path of a file that the Files API lists."""
    tree = VolumeTree(places.workspace, "/Volumes/a/b/c")
    entries = [DirectoryEntry(path=path, is_directory=False) for path in (name, f"/Volumes/a/b/c/{name}")]
    apis = [SimpleNamespace(list_directory_contents=lambda _, one=one: [one]) for one in entries]
    return _pulled(tree, places, *apis)


def from_git_folder(name: str, places: Places) -> list[Path]:
    """Return the local path of a file or notebook that the workspace lists in a Git folder."""
    folder = GitFolder(1, PurePosixPath("/Workspace/Repos/u/p"), "main", "0", "")
    found: list[Path] = []
    for path, kind, language in (
        (f"/Repos/u/p/{name}", ObjectType.FILE, None),
        (f"/Repos/u/p/{name}", ObjectType.NOTEBOOK, Language.PYTHON),
        (name, ObjectType.FILE, None),
    ):
        entry = ObjectInfo(path=path, object_type=kind, language=language)
        api = SimpleNamespace(list=lambda _, entry=entry: [entry])
        status = SimpleNamespace(do=lambda *_, **__: {})
        workspace = cast("Any", SimpleNamespace(client=SimpleNamespace(workspace=api, api_client=status)))
        scratch = SimpleNamespace(ignored=lambda _: set())

        def listed(workspace: Any = workspace, scratch: Any = scratch) -> list[Path]:
            start = git_folder_edits._Object("", str(folder.path), "DIRECTORY")  # noqa: SLF001
            objects = list(git_folder_edits._walk(workspace, folder, scratch, (), start))  # noqa: SLF001
            named = git_folder_edits._with_extensions(workspace, objects, set())  # noqa: SLF001
            return [places.files / path for path in named]

        found += _or_none(listed)
    return found


def manifest_copy(name: str, places: Places) -> list[Path]:
    """Return the local copy of a manifest file."""
    cache = ManifestCache(places.data, "manifest")
    before = set(places.data.rglob("*"))
    cache.store(PurePosixPath("x", name), b"x")
    return sorted(set(places.data.rglob("*")) - before) or [places.data / "x"]


def run_state(name: str, places: Places) -> list[Path]:
    """Return the local state files of a run and of a context."""
    return [Bookmark(name)._path, ContextStore()._file(name)]  # noqa: SLF001


def served_workspace(name: str, places: Places) -> list[Path]:
    """Return the path of an object in the sandbox's workspace tree."""
    tree, user = places.sandbox.tree, places.sandbox.user
    paths = [f"/Users/{user.name}/{name}", f"/Workspace/Shared/{name}", name]
    return [tree.disk_path(user, names_of(path)) for path in paths]


def served_dbfs(name: str, places: Places) -> list[Path]:
    """Return the path of a file on the sandbox's DBFS."""
    return [Dbfs(places.sandbox).disk_path(path) for path in (name, f"dbfs:/{name}", f"/{name}")]


def served_volume(name: str, places: Places) -> list[Path]:
    """Return the path of a file in a volume of the sandbox."""
    files = VolumeFiles(places.sandbox.unity_catalog)
    return [files.disk_path(f"/Volumes/main/default/data/{name}")]


def served_catalog(name: str, places: Places) -> list[Path]:
    """Return the folder of a catalog of the sandbox."""
    with contextlib.suppress(OSError):
        asyncio.run(places.sandbox.unity_catalog.create((name,), "x", {}))
    return list(places.layout.volumes.iterdir())


def served_user(name: str, places: Places) -> list[Path]:
    """Return the home folders of a user of the sandbox."""
    with contextlib.suppress(ValueError):  # the message for the one who starts the sandbox
        places.sandbox.users.add(name)
        return [places.layout.workspace / "Users" / name]
    return []


def _or_none(call: Callable[[], list[Path]]) -> list[Path]:
    try:
        return call()
    except HybridError:
        return []


FUNCTIONS: dict[Callable[[str, Places], list[Path]], Callable[[Places], Path]] = {
    from_dbfs: lambda places: places.data,
    from_volume: lambda places: places.data,
    from_git_folder: lambda places: places.files,
    manifest_copy: lambda places: places.data,
    run_state: lambda places: places.state,
    served_workspace: lambda places: places.layout.workspace,
    served_dbfs: lambda places: places.layout.dbfs,
    served_volume: lambda places: places.layout.volumes / "main/default/data",
    served_catalog: lambda places: places.layout.volumes,
    served_user: lambda places: places.layout.workspace / "Users",
}
CLIENT = {from_dbfs, from_volume, from_git_folder}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@settings(deadline=None, max_examples=60)
@given(name=NAMES)
@example(name="../../x")
@example(name="/etc/passwd")
@example(name="a/../../../x")
@example(name="\ud800")
@example(name="x\0y")
@example(name="n" * 300)
def test_the_path_stays_in_its_folder(
    places: Places, function: Callable[[str, Places], list[Path]], name: str
) -> None:
    """A hostile name leads to a path in its folder or to an error, never to a repository or our state."""
    folder = FUNCTIONS[function](places)
    try:
        paths = function(name, places)
    except (HybridError, ApiError):
        return
    for path in paths:
        assert path != folder or function in {served_workspace, served_dbfs, served_volume}
        assert Path(os.path.normpath(path)).is_relative_to(folder)
        assert Path(os.path.realpath(path)).is_relative_to(folder)
        if function in CLIENT:
            inside = path.relative_to(folder)
            assert judge(inside.as_posix()) is not Verdict.REFUSE
            assert function is from_git_folder or STATE_FOLDER not in inside.parts
