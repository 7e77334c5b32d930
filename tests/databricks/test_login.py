"""Logins: broken profile files, hosts copied from a browser, variables that override a profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.databricks.workspace import connect, connect_with
from kedro_databricks_hybrid.errors import LoginError

if TYPE_CHECKING:
    from tests.site import Site

SECRET = "dapi-of-someone-else"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of an empty profile file, with no other login in the environment."""
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "profiles"
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(path))
    return path


BROKEN = {
    "mark": (b"\xef\xbb\xbf[a]\nhost = http://127.0.0.1:1\ntoken = x\n", "begins with a byte order mark"),
    "UTF-16": ("[a]\nhost = x\n".encode("utf-16"), "begins with a byte order mark"),
    "section twice": (b"[a]\nhost = x\n[a]\nhost = x\n", r"has the section \[a\] twice \(line 3\)"),
    "setting twice": (b"[a]\nhost = x\nhost = x\n", r"the section \[a\] has host twice \(line 3\)"),
    "no section": (f"token = {SECRET}\n".encode(), "line 1 is in no section"),
    "no setting": (f"[a]\nhost = x\n{SECRET}\n".encode(), "line 3 is neither a section nor a setting"),
    "encoding": (b"[a]\nhost = \xff\n", "is not UTF-8 text"),
}


@pytest.mark.parametrize(("content", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file(content: bytes, told: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken profile file: one line names the file and the problem, and contains no secret."""
    file.write_bytes(content)
    for profile in ("a", None):
        with pytest.raises(LoginError, match=rf"^{file} .*{told}.*\. (Save|Edit) ") as caught:
            connect(profile)
        assert "\n" not in str(caught.value)
        assert SECRET not in str(caught.value)
    monkeypatch.delenv("DATABRICKS_CONFIG_FILE")
    (Path.home() / ".databrickscfg").write_bytes(content)
    try:
        with pytest.raises(LoginError, match=r"^~/\.databrickscfg "):
            connect("a")
    finally:
        (Path.home() / ".databrickscfg").unlink()


def test_a_file_that_cannot_be_read(file: Path) -> None:
    """A missing profile file is named in the error; so is a folder in its place."""
    with pytest.raises(LoginError, match=rf"No Databricks login was found in the environment or {file}"):
        connect(None)
    file.mkdir()
    with pytest.raises(LoginError, match=rf"^{file} cannot be read: Is a directory"):
        connect("a")


HOSTS = ("/", "/?o=123", "/login.html?o=123", "/browse/folders/1?o=123#x", "/login.html")


@pytest.mark.parametrize("rest", HOSTS)
def test_a_host_copied_from_a_browser(
    rest: str, site: Site, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path and query are removed from a host, in profiles and in the environment."""
    host, token = site.sandbox.url, site.sandbox.user.token
    for profile in ("a", "DEFAULT"):
        file.write_text(f"[{profile}]\nhost = {host}{rest}\ntoken = {token}\n")
        found = connect(profile if profile == "a" else None)
        assert (found.host, found.user) == (host, "user@example.com")
    if "o=123" in rest:
        assert found.client.config.workspace_id == "123"
    monkeypatch.setenv("DATABRICKS_HOST", f"{host}{rest}")
    monkeypatch.setenv("DATABRICKS_TOKEN", token)
    assert connect(None).host == host


def test_the_environment_beats_a_profile(site: Site, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that overrides the profile's login is named, whether the login works or not."""
    host, token = site.sandbox.url, site.sandbox.user.token
    file.write_text(f"[a]\nhost = {host}\ntoken = {SECRET}\n[b]\nhost = {host}\ntoken = {token}\n")
    monkeypatch.setenv("DATABRICKS_TOKEN", token)
    assert connect("a").overriding == ("DATABRICKS_TOKEN",)
    assert connect("b").overriding == ()
    told = site.call("status", "--profile=a").stderr
    assert "DATABRICKS_TOKEN of the environment is used, not the profile a's own login" in told
    assert SECRET not in told
    monkeypatch.setenv("DATABRICKS_TOKEN", SECRET)
    with pytest.raises(
        LoginError, match=r"does not accept .* DATABRICKS_TOKEN of the environment beat the profile b"
    ):
        connect("b")


def test_a_given_token_needs_no_profile(site: Site, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and token work also if the environment names a profile, whether the file has it or not."""
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "sandbox")
    for content in ("", f"[sandbox]\nhost = http://127.0.0.1:1\ntoken = {SECRET}\ncluster_id = x\n"):
        file.write_text(content)
        found = connect_with(site.sandbox.url, site.sandbox.user.token)
        assert (found.host, found.client.config.cluster_id) == (site.sandbox.url, None)


def test_more_than_one_authorization_method(site: Site, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login with two authorization methods: the error names them and what to edit or unset."""
    several = "The login in the profile 'a' of .* has more than one authorization method: oauth and pat"
    file.write_text(f"[a]\nhost = {site.sandbox.url}\ntoken = x\nclient_id = y\nclient_secret = z\n")
    with pytest.raises(LoginError, match=rf"{several}\. Choose one with auth_type .*, or edit {file}"):
        connect("a")
    file.write_text(f"[a]\nhost = {site.sandbox.url}\nclient_id = y\nclient_secret = z\n")
    monkeypatch.setenv("DATABRICKS_TOKEN", "x")
    with pytest.raises(LoginError, match=rf"{several}\. .* unset DATABRICKS_TOKEN"):
        connect("a")
