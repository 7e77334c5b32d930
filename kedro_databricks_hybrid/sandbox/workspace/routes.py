"""The workspace API over HTTP: objects, import and export, and workspace-files."""

from __future__ import annotations

import base64
import io
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically
from kedro_databricks_hybrid.sandbox.core.bodies import (
    Base64,
    Body,
    Flag,
    Integer,
    Required,
    body,
    form,
    parse,
    query,
)
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint, endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, absent, denied, exists, invalid
from kedro_databricks_hybrid.sandbox.core.layout import names_of
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.uploads import received
from kedro_databricks_hybrid.sandbox.core.users import no_such_path
from kedro_databricks_hybrid.sandbox.workspace import notebook_files
from kedro_databricks_hybrid.sandbox.workspace.model import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_TOP_FOLDERS = {("Users",), ("Repos",), ("Shared",)}
MAX_BYTES = 10 * 1024 * 1024
MAX_FILE_BYTES = 500 * 1024 * 1024
MAX_EXPORTED = 50_000
"""How many objects a folder may have to be exported; links can make few folders look like very many."""

_TOO_LARGE = ApiError(
    400, "MAX_NOTEBOOK_SIZE_EXCEEDED", f"The content is larger than the limit of {MAX_BYTES} bytes."
)
_FILE_TOO_LARGE = ApiError(
    400, "MAX_FILE_SIZE_EXCEEDED", f"The file is larger than the limit of {MAX_FILE_BYTES} bytes."
)


class _Import(Body):
    path: Required
    content: Base64 = b""
    format: str = "SOURCE"
    language: str = ""
    overwrite: Flag = False


class _ObjectsApi:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._tree = sandbox.tree

    async def get_status(self, user: User, path: Required, return_git_info: Flag = False) -> dict[str, Any]:
        entry = await run_in_threadpool(self._tree.find, user, names_of(path))
        shown = await run_in_threadpool(self._tree.describe, entry)
        if return_git_info:
            await self._add_git_info(shown, entry)
        return shown

    def list_folder(
        self, user: User, path: Required, notebooks_modified_after: Integer = 0
    ) -> dict[str, Any]:
        after = notebooks_modified_after
        entry = self._tree.find(user, names_of(path))
        is_folder = entry.kind in {"DIRECTORY", "REPO"}
        entries = self._tree.children(user, entry) if is_folder else [entry]
        shown: list[dict[str, Any]] = []
        for child in entries:
            with suppress(FileNotFoundError):  # just deleted
                shown.append(self._tree.describe(child))
        objects = [item for item in shown if item.get("modified_at", after) >= after]
        return {"objects": objects} if objects else {}

    async def delete(self, user: User, path: Required, recursive: Flag = False) -> None:
        names = names_of(path)
        entry = await run_in_threadpool(self._deletable, user, names)
        is_folder = entry.kind in {"DIRECTORY", "REPO"} and not entry.disk_path.is_symlink()
        is_empty = not is_folder or not await run_in_threadpool(lambda: any(entry.disk_path.iterdir()))
        if not (recursive or is_empty):
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({entry.path}) is not empty")
        if is_folder:
            await self._sandbox.repos.remove_below(names)
            await run_in_threadpool(remove_tree, entry.disk_path)
        else:
            await run_in_threadpool(entry.disk_path.unlink, missing_ok=True)

    def _deletable(self, user: User, names: tuple[str, ...]) -> Entry:
        """Return the object to delete; for a link the link itself, not its target."""
        entry = self._tree.seek(user, names)
        unresolved = self._tree.disk_path(user, names, follow=False)
        if entry is None and unresolved.is_symlink():
            entry = Entry(names, unresolved, "FILE")
        if entry is None:
            raise no_such_path(names)
        if (
            not names
            or names in _TOP_FOLDERS
            or (names[0] in {"Users", "Repos"} and names[1:] == (user.name,))
        ):
            raise denied(f"The folder {entry.path} cannot be deleted.")
        if entry.kind == "NOTEBOOK":
            return entry
        return Entry(names, unresolved, entry.kind)

    def mkdirs(self, user: User, path: Required) -> None:
        names = names_of(path)
        if names == ("Users",) or (names[:1] == ("Users",) and names[1] != user.name):
            self._tree.find(user, names[:2])
        if names[:1] == ("Repos",) and len(names) > 2 and self._sandbox.repos.around(names) is None:
            raise invalid(NO_PLAIN_FOLDER_UNDER_REPOS.format(path="/" + "/".join(names)))
        for length in range(1, len(names) + 1):
            entry = self._tree.seek(user, names[:length])
            if entry is not None and entry.kind not in {"DIRECTORY", "REPO"}:
                raise exists(f"Path ({entry.path}) already exists and is not a folder.")
        self._tree.disk_path(user, names).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def _add_git_info(self, shown: dict[str, Any], entry: Entry) -> None:
        repo = self._sandbox.repos.around(entry.names)
        if repo is None:
            return
        if self._tree.is_partial(repo.names):
            shown["git_info"] = {"id": repo.repo_id, "path": repo.path}
            if entry.names == repo.names:
                shown["directory_info"] = {"is_git_folder": True}
            return
        checkout = await self._sandbox.repos.checkout_of(repo)
        shown["git_info"] = {
            "id": repo.repo_id,
            "path": repo.path,
            "url": repo.url,
            "provider": repo.provider,
            "branch": checkout.branch or "",
            "head_commit_id": checkout.commit or "",
        }


# Not verified against a live workspace: that a plain folder is refused there, and the message.
NO_PLAIN_FOLDER_UNDER_REPOS = "Cannot create folder {path}: under /Repos/<folder> there are Git folders only."


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _ObjectsApi(sandbox)
    table: dict[str, Handler] = {
        "GET /get-status": api.get_status,
        "GET /list": api.list_folder,
        "POST /mkdirs": api.mkdirs,
        "POST /delete": api.delete,
    }
    return endpoints(table, "/api/2.0/workspace")


class _ContentApi:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._tree = sandbox.tree
        self._scratch = sandbox.layout.scratch

    async def import_object(self, request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("multipart/"):
            async with form(request, MAX_BYTES, _TOO_LARGE) as (texts, file):
                given = parse(_Import, texts)
                content = await run_in_threadpool(file.read)
        else:
            given = parse(_Import, await body(request, _TOO_LARGE))
            content = given.content
        if len(content) > MAX_BYTES:
            raise _TOO_LARGE
        await run_in_threadpool(self._import, request.state.user, given, content)
        return JSONResponse({})

    async def import_file(self, request: Request, user: User, path: str, overwrite: Flag = False) -> None:
        names = names_of("/" + path.lstrip("/"))
        await run_in_threadpool(self._check_file_free, user, names, overwrite=overwrite)
        async with received(request, self._scratch, MAX_FILE_BYTES, _FILE_TOO_LARGE) as upload:
            disk_path = await run_in_threadpool(self._check_file_free, user, names, overwrite=overwrite)
            await run_in_threadpool(upload.replace, disk_path)

    def export(
        self, user: User, path: Required, format: str = "SOURCE", direct_download: Flag = False
    ) -> dict[str, Any] | Response:
        content, file_type = self._exported(user, names_of(path), format)
        if len(content) > MAX_BYTES:
            raise _TOO_LARGE
        if direct_download:
            return Response(content, media_type="application/octet-stream")
        return {"content": base64.b64encode(content).decode(), "file_type": file_type}

    def _import(self, user: User, given: _Import, content: bytes) -> None:
        names = names_of(given.path)
        if not names:
            raise invalid("The root folder cannot be replaced.")
        file_name, content = _as_file(given, names[-1], content)
        self._tree.parent(user, names)
        language = notebook_files.language_in(file_name, content)
        object_name = file_name.rsplit(".", 1)[0] if language else file_name
        existing = self._tree.seek(user, (*names[:-1], object_name))
        if existing is not None:
            _check_overwrite(existing, is_notebook=language is not None, overwrite=given.overwrite)
        disk_path = self._tree.disk_path(user, (*names[:-1], file_name))
        write_atomically(disk_path, content, draft_folder=self._scratch)
        if existing is not None and existing.disk_path != disk_path:
            existing.disk_path.unlink(missing_ok=True)

    def _check_file_free(self, user: User, names: tuple[str, ...], *, overwrite: bool) -> Path:
        if not names:
            raise invalid("A file name is required.")
        self._tree.parent(user, names)
        existing = self._tree.seek(user, names)
        path = "/" + "/".join(names)
        if existing is not None and existing.kind != "FILE":
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"{existing.kind} at {path} already exists.")
        if existing is not None and not overwrite:
            raise ApiError(409, "ALREADY_EXISTS", f"The file {path} already exists.")
        return self._tree.disk_path(user, names)

    def _exported(self, user: User, names: tuple[str, ...], kind: str) -> tuple[bytes, str]:
        entry = self._tree.find(user, names)
        if entry.kind in {"DIRECTORY", "REPO"}:
            if kind not in {"SOURCE", "AUTO"}:
                raise invalid(f"Format {kind[:50]} is not supported for folders.")
            return self._zip(user, entry, with_files=kind == "AUTO"), "zip"
        if entry.disk_path.stat().st_size > MAX_BYTES:
            raise _TOO_LARGE
        content = entry.disk_path.read_bytes()
        if entry.kind == "FILE":
            return content, ""
        return _as_format(kind, entry, content)

    def _zip(self, user: User, folder: Entry, *, with_files: bool) -> bytes:
        buffer = io.BytesIO()
        seen = 0
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            waiting = [folder]
            while waiting:
                for entry in self._tree.children(user, waiting.pop()):
                    seen += 1
                    if entry.kind in {"DIRECTORY", "REPO"}:
                        waiting.append(entry)
                    elif entry.kind == "NOTEBOOK" or (with_files and entry.kind == "FILE"):
                        inside = "/".join(entry.names[len(folder.names) :])
                        extension = entry.disk_path.suffix if entry.kind == "NOTEBOOK" else ""
                        archive.writestr(inside + extension, entry.disk_path.read_bytes())
                    if buffer.tell() > MAX_BYTES or seen > MAX_EXPORTED:
                        raise _TOO_LARGE
        return buffer.getvalue()


def content_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _ContentApi(sandbox)
    return [
        Route("/api/2.0/workspace/import", api.import_object, methods=["POST"]),
        endpoint("GET", "/api/2.0/workspace/export", api.export),
        endpoint("POST", "/api/2.0/workspace-files/import-file/{path:path}", api.import_file, query),
    ]


def _as_file(given: _Import, name: str, content: bytes) -> tuple[str, bytes]:
    """Return the file name and the content under which an imported object is kept."""
    kind = given.format
    if kind in {"AUTO", "RAW"}:
        return name, content
    if kind == "JUPYTER":
        notebook_files.cells_of_jupyter(content)
        return name.removesuffix(".ipynb") + ".ipynb", content
    if kind == "SOURCE":
        language = given.language
        if not language:
            raise absent("language")
        if language not in notebook_files.LANGUAGES:
            raise invalid(f"Unknown language {language[:50]!r}.")
        return name + notebook_files.extension_of(language), notebook_files.with_header(content, language)
    raise invalid(f"Format {kind[:50]!r} is not supported.")


def _as_format(kind: str, notebook: Entry, content: bytes) -> tuple[bytes, str]:
    """Return a notebook in the requested format, and the extension of that format."""
    is_jupyter = notebook.disk_path.suffix == ".ipynb"
    language = notebook.language or "PYTHON"
    if kind == "AUTO":
        return content, notebook.disk_path.suffix.removeprefix(".")
    if kind == "SOURCE":
        source = notebook_files.source_of_jupyter(content) if is_jupyter else content
        return source, notebook_files.extension_of(language).removeprefix(".")
    if kind == "JUPYTER":
        return (content if is_jupyter else notebook_files.jupyter_of_source(content, language)), "ipynb"
    raise invalid(f"Format {kind[:50]!r} is not supported.")


def _check_overwrite(existing: Entry, *, is_notebook: bool, overwrite: bool) -> None:
    if not overwrite or existing.kind in {"DIRECTORY", "REPO"}:
        raise exists(f"Path ({existing.path}) already exists.")
    asked = "NOTEBOOK" if is_notebook else "FILE"
    if asked != existing.kind:
        raise invalid(
            f"Cannot overwrite the asset at {existing.path} due to type mismatch "
            f"(asked: {asked}, actual: {existing.kind})"
        )
