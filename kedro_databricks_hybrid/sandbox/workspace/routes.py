"""The workspace API over HTTP: objects, import and export, and workspace-files."""

from __future__ import annotations

import base64
import io
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core import notebook_files
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
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, exists, invalid
from kedro_databricks_hybrid.sandbox.core.layout import names_of, spelled_as
from kedro_databricks_hybrid.sandbox.core.permissions import MANAGE
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.uploads import new_upload, received, save
from kedro_databricks_hybrid.sandbox.core.users import no_such_path
from kedro_databricks_hybrid.sandbox.workspace.model import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace.model import Upload
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_TOP_FOLDERS = {("Users",), ("Repos",), ("Shared",)}
_EXPORT_FORMATS = {"SOURCE", "JUPYTER", "AUTO"}
_BYTES = "application/octet-stream"
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
    format: str = ""
    language: str = ""
    overwrite: Flag = False


class _ObjectsApi:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._tree = sandbox.tree

    async def get_status(
        self, user: User, path: Required, return_git_info: Flag = False, return_export_info: Flag = False
    ) -> dict[str, Any]:
        entry = await run_in_threadpool(self._tree.find, user, path)
        shown = await run_in_threadpool(self._tree.describe, entry)
        shown["path"] = spelled_as(path, entry.path)
        if return_export_info and entry.kind == "NOTEBOOK":
            shown["repos_export_format"] = entry.format
        if return_git_info:
            await self._add_git_info(shown, entry)
        return shown

    def list_folder(
        self, user: User, path: Required, notebooks_modified_after: Integer = 0
    ) -> dict[str, Any]:
        after = notebooks_modified_after
        entry = self._tree.find(user, path)
        entries = self._tree.children(user, entry) if entry.is_folder else [entry]
        shown: list[dict[str, Any]] = []
        for child in entries:
            with suppress(FileNotFoundError):  # just deleted
                shown.append({**self._tree.describe(child), "path": spelled_as(path, child.path)})
        objects = [item for item in shown if item.get("modified_at", after) >= after]
        return {"objects": objects} if objects else {}

    async def delete(self, user: User, path: Required, recursive: Flag = False) -> None:
        entry = await run_in_threadpool(self._deletable, user, path)
        is_folder = entry.is_folder and not entry.disk_path.is_symlink()
        is_empty = not is_folder or not await run_in_threadpool(lambda: any(entry.disk_path.iterdir()))
        if not (recursive or is_empty):
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({entry.path}) is not empty")
        if is_folder:
            await self._sandbox.repos.remove_below(entry.names)
            await run_in_threadpool(remove_tree, entry.disk_path)
        else:
            await run_in_threadpool(entry.disk_path.unlink, missing_ok=True)
        await self._sandbox.permissions.forget(entry.path)

    def _deletable(self, user: User, path: str) -> Entry:
        """Return the object to delete; for a link the link itself, not its target."""
        names = names_of(path)
        entry = self._tree.seek(user, names)
        unresolved = self._tree.disk_path(user, names, MANAGE, follow=False)
        if entry is None and unresolved.is_symlink():
            entry = Entry(names, unresolved, "FILE")
        if entry is None:
            raise no_such_path(path)
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
        self._sandbox.access.check(user, names)
        if names[:1] == ("Users",) and self._sandbox.access.owner_of(names) is None:
            self._tree.find(user, "/" + "/".join(names[:2]))
        if len(names) > 2:
            self._tree.check_place(names)
        entry = None
        for above in (names[:length] for length in range(1, len(names) + 1)):
            if not self._sandbox.access.may(user, above):
                continue  # above a folder that another user has shared
            entry = self._tree.seek(user, above)
            if entry is not None and not entry.is_folder:
                raise exists(f"Path ({entry.path}) already exists and is not a folder.")
        if entry is None:
            self._tree.disk_path(user, names, MANAGE).mkdir(mode=0o700, parents=True, exist_ok=True)

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
        upload = new_upload(self._scratch)
        try:
            if request.headers.get("content-type", "").startswith("multipart/"):
                async with form(request, MAX_BYTES, _TOO_LARGE) as (texts, file):
                    given = parse(_Import, texts)
                    await run_in_threadpool(save, file, upload)
            else:
                given = parse(_Import, await body(request, _TOO_LARGE))
                await run_in_threadpool(upload.write_bytes, given.content)
            await run_in_threadpool(self._import, request.state.user, given, upload)
        finally:
            upload.unlink(missing_ok=True)
        return JSONResponse({})

    async def import_file(self, request: Request, user: User, path: str, overwrite: Flag = False) -> None:
        path = f"/{path.lstrip('/')}"
        if not names_of(path):
            raise invalid("A file name is required.")
        await run_in_threadpool(self._tree.parent, user, names_of(path))
        async with received(request, self._scratch, MAX_FILE_BYTES, _FILE_TOO_LARGE) as file:
            await run_in_threadpool(self._store_file, user, path, file, overwrite=overwrite)

    def read_file(self, user: User, path: str) -> Response:
        entry = self._tree.find(user, f"/{path.lstrip('/')}")
        if entry.is_folder:
            raise invalid(f"{entry.path} is a directory.")
        return FileResponse(entry.disk_path, media_type=_BYTES)

    def export(
        self, user: User, path: Required, format: str = "", direct_download: Flag = False
    ) -> dict[str, Any] | Response:
        content, file_type = self._exported(user, path, format or "SOURCE")
        if len(content) > MAX_BYTES:
            raise _TOO_LARGE
        if direct_download:
            return Response(content, media_type=_BYTES)
        return {"content": base64.b64encode(content).decode(), "file_type": file_type}

    def _import(self, user: User, given: _Import, file: Path) -> None:
        if file.stat().st_size > MAX_BYTES:
            raise _TOO_LARGE
        names = names_of(given.path)
        upload = self._tree.receive(user, names, file, _disk_name(given, names[-1] if names else "", file))
        existing = upload.existing
        if existing is not None:
            if not given.overwrite or existing.is_folder:
                raise exists(f"Path ({given.path}) already exists.")
            if existing.kind != upload.kind:
                raise _type_mismatch(upload)
        self._tree.store(user, upload)

    def _store_file(self, user: User, path: str, file: Path, *, overwrite: bool) -> None:
        names = names_of(path)
        upload = self._tree.receive(user, names, file, names[-1])
        if upload.kind == "NOTEBOOK" and file.stat().st_size > MAX_BYTES:
            raise _TOO_LARGE
        existing = upload.existing
        if existing is not None:
            if existing.is_folder:
                raise invalid(f"{existing.kind} at {path} already exists.")
            kinds = existing.kind, upload.kind
            if not overwrite and kinds == ("FILE", "FILE"):
                raise ApiError(409, "ALREADY_EXISTS", f"The file {path} already exists.")
            if not overwrite or kinds == ("NOTEBOOK", "FILE"):
                raise ApiError(400, "", f"Path ({path}) already exists.")  # Databricks gives no code
            if existing.kind != upload.kind:
                raise _type_mismatch(upload)
        self._tree.store(user, upload)

    def _exported(self, user: User, path: str, kind: str) -> tuple[bytes, str]:
        if kind not in _EXPORT_FORMATS:
            raise invalid(f"Format {kind[:50]!r} is not supported.")
        entry = self._tree.find(user, path)
        if entry.is_folder:
            if kind == "JUPYTER":
                raise invalid(f"Format {kind} is not supported for folders.")
            return self._zip(user, entry, with_files=kind == "AUTO"), "zip"
        if entry.disk_path.stat().st_size > MAX_BYTES:
            raise _TOO_LARGE
        content = entry.disk_path.read_bytes()
        if entry.kind == "FILE":
            return content, ""
        return _as_format(entry.format if kind == "AUTO" else kind, entry, content)

    def _zip(self, user: User, folder: Entry, *, with_files: bool) -> bytes:
        buffer = io.BytesIO()
        seen = 0
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            waiting = [folder]
            while waiting:
                for entry in self._tree.children(user, waiting.pop()):
                    seen += 1
                    if entry.is_folder:
                        waiting.append(entry)
                    elif entry.kind == "NOTEBOOK" or (with_files and entry.kind == "FILE"):
                        name, content = entry.names[-1], entry.disk_path.read_bytes()
                        if entry.kind == "NOTEBOOK":
                            kind = entry.format if with_files else "SOURCE"
                            content, extension = _as_format(kind, entry, content)
                            name = f"{name}.{extension}"
                        archive.writestr("/".join((*entry.names[len(folder.names) : -1], name)), content)
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
        endpoint("GET", "/api/2.0/workspace-files/{path:path}", api.read_file),
    ]


def _disk_name(given: _Import, name: str, file: Path) -> str:
    """Return the name under which an imported file is stored; give source code the header of a notebook."""
    kind = given.format or "SOURCE"
    if kind in {"AUTO", "RAW"}:
        return name
    if kind == "JUPYTER":
        return notebook_files.jupyter_file_name(name)
    if kind != "SOURCE":
        raise invalid(f"Format {kind[:50]!r} is not supported.")
    language = given.language
    if not language:
        raise _archive_refused(file)
    if language not in notebook_files.LANGUAGES:
        raise invalid(f"Unknown language {language[:50]!r}.")
    file.write_bytes(notebook_files.with_header(file.read_bytes(), language))
    return notebook_files.file_name(name, language)


def _archive_refused(file: Path) -> ApiError:
    """Return the error for source code without a language, which Databricks takes for an archive."""
    if zipfile.is_zipfile(file):
        return invalid("The sandbox does not import archives. Import their notebooks one by one.")
    return ApiError(400, "BAD_REQUEST", "The zip archive contains no items.")


def _as_format(kind: str, notebook: Entry, content: bytes) -> tuple[bytes, str]:
    """Return a notebook in the format SOURCE or JUPYTER, and the extension of that format."""
    language = notebook.language or "PYTHON"
    if kind == "SOURCE":
        exported = notebook_files.as_source(content, notebook.format, language)
    else:
        exported = notebook_files.as_jupyter(content, notebook.format, language, notebook.names[-1])
    return exported, notebook_files.extension_of(kind, language)


def _type_mismatch(upload: Upload) -> ApiError:
    actual = upload.existing.kind if upload.existing else ""
    return invalid(
        f"Cannot overwrite the asset at /{'/'.join(upload.names)} due to type mismatch "
        f"(asked: {upload.kind}, actual: {actual})"
    )
