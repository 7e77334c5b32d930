"""What can be the name of a branch or a tag, and the address of a remote: nothing else reaches git."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kedro_databricks_hybrid.sandbox.answers import invalid

_REF_NAME = re.compile(r"(?!-)[^\s\x00-\x1f\x7f~^:?*\[\\]+")
_MAX_REF_LENGTH = 250


@dataclass(frozen=True)
class Ref:
    """A branch or a tag of the remote."""

    kind: str
    name: str

    @classmethod
    def branch(cls, name: str) -> Ref:
        """Return a branch; refuses what cannot be the name of one."""
        return cls("branch", _ref_name(name))

    @classmethod
    def tag(cls, name: str) -> Ref:
        """Return a tag; refuses what cannot be the name of one."""
        return cls("tag", _ref_name(name))


def checked_url(url: str) -> str:
    """Return the address of a remote that the workspace can clone, or refuse it.

    https, and what only exists on this machine: a path, file://, and http on a loopback address.
    """
    if not url.isprintable() or any(character.isspace() for character in url if character != " "):
        raise invalid("Invalid Git repository URL.")
    if Path(url).is_absolute():
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise invalid(f"Invalid Git repository URL {url[:200]!r}.") from None
    if parts.username or parts.password:
        raise invalid("The Git repository URL must not contain a user name or a token.")
    if parts.scheme == "file" and parts.path and host in {"", "localhost"}:
        return url
    if parts.scheme == "https" and host:
        return url
    if parts.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"}:
        return url
    raise invalid(f"Invalid Git repository URL {url[:200]!r}: an https URL is needed.")


def _ref_name(name: str) -> str:
    bad = ".." in name or "@{" in name or "//" in name or name.endswith(("/", ".", ".lock"))
    if bad or name.startswith("/") or len(name) > _MAX_REF_LENGTH or not _REF_NAME.fullmatch(name):
        raise invalid(f"{name[:100]!r} is not a valid name of a branch or tag")
    return name
