"""The workspace API: status, list, mkdirs and delete."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.access import no_such_path
from kedro_databricks_hybrid.sandbox.answers import ApiError, denied, exists, invalid
from kedro_databricks_hybrid.sandbox.fields import body, query
from kedro_databricks_hybrid.sandbox.tree import Entry, names_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.sandbox import Sandbox
    from kedro_databricks_hybrid.sandbox.users import User

_TOP_FOLDERS = {("Users",), ("Repos",), ("Shared",)}


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._tree = sandbox.tree

    async def get_status(self, request: Request) -> Response:
        fields = query(request)
        names = names_of(fields.text("path"))
        entry = await run_in_threadpool(self._tree.find, request.state.user, names)
        shown = await run_in_threadpool(self._tree.describe, entry)
        if fields.flag("return_git_info"):
            await self._add_git_info(shown, entry)
        return JSONResponse(shown)

    async def list_folder(self, request: Request) -> Response:
        fields = query(request)
        names = names_of(fields.text("path"))
        after = fields.number("notebooks_modified_after", 0)

        def work(user: User) -> list[dict[str, Any]]:
            entry = self._tree.find(user, names)
            is_folder = entry.kind in {"DIRECTORY", "REPO"}
            entries = self._tree.children(user, entry) if is_folder else [entry]
            shown: list[dict[str, Any]] = []
            for child in entries:
                with suppress(FileNotFoundError):  # it has just gone
                    shown.append(self._tree.describe(child))
            return [item for item in shown if item.get("modified_at", after) >= after]

        objects = await run_in_threadpool(work, request.state.user)
        return JSONResponse({"objects": objects} if objects else {})

    async def mkdirs(self, request: Request) -> Response:
        names = names_of((await body(request)).text("path"))
        await run_in_threadpool(self._mkdirs, request.state.user, names)
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        fields = await body(request)
        names = names_of(fields.text("path"))
        user = request.state.user
        recursive = fields.flag("recursive")
        entry = await run_in_threadpool(self._deletable, user, names)
        is_folder = entry.kind in {"DIRECTORY", "REPO"} and not entry.place.is_symlink()
        if is_folder and not recursive and await run_in_threadpool(lambda: any(entry.place.iterdir())):
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({entry.path}) is not empty")
        if is_folder:
            await self._sandbox.repos.remove_below(names)
            await run_in_threadpool(shutil.rmtree, entry.place, ignore_errors=True)
        else:
            await run_in_threadpool(entry.place.unlink, missing_ok=True)
        return JSONResponse({})

    def _deletable(self, user: User, names: tuple[str, ...]) -> Entry:
        """Return the object to delete, at its own place: a link, not what it leads to."""
        entry = self._tree.seek(user, names)
        own_place = self._tree.place(user, names, follow=False) if names else self._tree.place(user, names)
        if entry is None and own_place.is_symlink():
            entry = Entry(names, own_place, "FILE")
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
        return Entry(names, own_place, entry.kind)

    def _mkdirs(self, user: User, names: tuple[str, ...]) -> None:
        if names == ("Users",) or (names[:1] == ("Users",) and names[1] != user.name):
            self._tree.find(user, names[:2])
        if names[:1] == ("Repos",) and len(names) > 2 and self._sandbox.repos.around(names) is None:
            raise invalid(NO_PLAIN_FOLDER_UNDER_REPOS.format(path="/" + "/".join(names)))
        for length in range(1, len(names) + 1):
            entry = self._tree.seek(user, names[:length])
            if entry is not None and entry.kind not in {"DIRECTORY", "REPO"}:
                raise exists(f"Path ({entry.path}) already exists and is not a folder.")
        self._tree.place(user, names).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def _add_git_info(self, shown: dict[str, Any], entry: Entry) -> None:
        repo = self._sandbox.repos.around(entry.names)
        if repo is None:
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


# Not verified against a live workspace: that a plain folder is refused there, and in which words.
NO_PLAIN_FOLDER_UNDER_REPOS = "Cannot create folder {path}: under /Repos/<folder> there are Git folders only."


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(sandbox)
    return [
        Route("/api/2.0/workspace/get-status", api.get_status, methods=["GET"]),
        Route("/api/2.0/workspace/list", api.list_folder, methods=["GET"]),
        Route("/api/2.0/workspace/mkdirs", api.mkdirs, methods=["POST"]),
        Route("/api/2.0/workspace/delete", api.delete, methods=["POST"]),
    ]
