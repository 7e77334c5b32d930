"""Addresses of Git remotes: the one that Databricks clones, and the provider behind it.

Databricks clones over HTTPS only, so SSH addresses are translated by the rules of each provider.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from kedro_databricks_hybrid.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SCP_LIKE = re.compile(r"^(?:(?P<user>[^@/:]+)@)?(?P<host>[^/:]{2,}):(?P<path>.+)$")
_CODECOMMIT = re.compile(r"^codecommit::(?P<region>[\w-]+)://(?:[^@/]+@)?(?P<name>[\w.-]+)$")
_CODECOMMIT_HOST = "git-codecommit.{region}.amazonaws.com"
_SSH_SECONDS = 5.0

# Hosts that providers have for SSH alone, some of them for port 443, and the ones for HTTPS.
_SSH_HOSTS = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
    "ssh.dev.azure.com": "dev.azure.com",
    "vs-ssh.visualstudio.com": "dev.azure.com",
}

# Git providers by host name; the first match wins. The values are those that Databricks' repos and
# git-credentials APIs accept.
_PROVIDERS = (
    (re.compile(r"^(www\.)?github\.com$"), "gitHub"),
    (re.compile(r"^(www\.)?gitlab\.com$"), "gitLab"),
    (re.compile(r"^(www\.)?bitbucket\.org$"), "bitbucketCloud"),
    (re.compile(r"^(dev\.azure\.com|.+\.visualstudio\.com)$"), "azureDevOpsServices"),
    (re.compile(r"^git-codecommit\..+\.amazonaws\.com$"), "awsCodeCommit"),
    (re.compile(r"github"), "gitHubEnterprise"),
    (re.compile(r"gitlab"), "gitLabEnterpriseEdition"),
    (re.compile(r"bitbucket"), "bitbucketServer"),
)
_BITBUCKET_SERVER = "bitbucketServer"
_VISUALSTUDIO = re.compile(
    r"^https://(?P<organisation>[^./]+)\.visualstudio\.com/(?:DefaultCollection/)?", re.IGNORECASE
)


def clone_url(url: str, top: Path, provider: str | None, resolve: Callable[[str], str]) -> str:
    """Return a remote's URL in the form that Databricks can clone, without credentials.

    Args:
        url: The output of `git remote get-url`.
        top: The repository's top folder, the base of a remote that is a relative path.
        provider: Databricks' name of the provider, if the settings give it.
        resolve: Returns the host name of an SSH host, which may be an alias.

    Raises:
        GitError: The URL does not tell that address.
    """
    if is_local(url):
        return url if url.startswith("file:") else str((top / url).resolve())
    if found := _CODECOMMIT.match(url):
        return f"https://{_CODECOMMIT_HOST.format(region=found['region'])}/v1/repos/{found['name']}"
    if "://" in url:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"}:
            return without_credentials(url)
        if parts.scheme not in {"ssh", "git", "git+ssh", "ssh+git"}:
            raise _unknown(url)
        user, alias, path = parts.username or "", parts.hostname or "", parts.path
    else:
        matched = _SCP_LIKE.match(url)
        if matched is None or "::" in url:
            raise _unknown(url)
        user, alias, path = matched["user"] or "", matched["host"], matched["path"]
    host = resolve(alias)
    https = _SSH_HOSTS.get(host.lower(), host)
    path = path.strip("/")
    provider = provider or provider_of(f"https://{https}/")
    if "." not in https or (path.startswith("~") and provider != _BITBUCKET_SERVER):
        raise _unknown(url)
    return f"https://{https}/{_path(url, https, path, user, provider)}"


def _path(url: str, host: str, path: str, user: str, provider: str | None) -> str:
    """Return the path of a repository for HTTPS by its path for SSH."""
    parts = path.split("/")
    if host == "dev.azure.com":
        if parts[0] == "v3":  # v3/<organisation>/<project>/<repository>
            if len(parts) != 4 or not all(parts):
                raise _unknown(url)
            return f"{parts[1]}/{parts[2]}/_git/{parts[3]}"
        if "_ssh" not in parts or not user:
            raise _unknown(url)
        parts = [user, *(part for part in parts if part != "DefaultCollection")]
    if "_ssh" in parts:
        return "/".join("_git" if part == "_ssh" else part for part in parts)
    if provider == _BITBUCKET_SERVER and parts[0] != "scm":
        return f"scm/{path}"
    return path


def _unknown(url: str) -> GitError:
    return GitError(
        f"The Git remote {without_credentials(url)} does not tell the HTTPS address that Databricks clones.",
        hint="Set code.url in databricks.yml to that address.",
    )


def ssh_host(host: str, command: str | None) -> str:
    """Return the host name that ssh connects to, which its configuration may give an alias for.

    Args:
        host: The host in the remote's URL.
        command: The command that git runs for ssh; None for `ssh`.
    """
    if host.startswith("-"):
        return host
    try:
        program = shlex.split(os.environ.get("GIT_SSH_COMMAND") or command or "ssh")
        done = subprocess.run(
            [*program, "-G", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SSH_SECONDS,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):  # no ssh, or another program in its place
        return host
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return next((line.split()[1] for line in lines if re.match(r"hostname \S", line)), host)


def without_credentials(url: str) -> str:
    """Return a remote's URL without user name and password, to print it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_local(url: str) -> bool:
    """Tell whether a remote is a folder on this machine."""
    if url.startswith("file:"):
        return True
    return urlsplit(url).scheme in {"", *"abcdefghijklmnopqrstuvwxyz"} and not _SCP_LIKE.match(url)


def provider_of(url: str) -> str | None:
    """Return Databricks' name of a clone URL's Git provider; None if its host does not tell."""
    host = urlsplit(url).hostname or ""
    return next((name for pattern, name in _PROVIDERS if pattern.search(host)), None)


def is_same(one: str, other: str) -> bool:
    """Tell whether two clone URLs are of one repository."""

    def bare(url: str) -> str:
        plain = without_credentials(url).removeprefix("file://").rstrip("/").removesuffix(".git")
        return _VISUALSTUDIO.sub(r"https://dev.azure.com/\g<organisation>/", plain).lower()

    return bare(one) == bare(other)
