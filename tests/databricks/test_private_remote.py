"""A private remote: doctor tests the credential, errors name the fix, and no output contains a token."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kedro_databricks_hybrid.doctor import project as of_project
from kedro_databricks_hybrid.doctor.finding import Level
from kedro_databricks_hybrid.project import git_source
from kedro_databricks_hybrid.project.settings import Code
from tests.databricks.git_server import private_remote
from tests.e2e.terminal import watched_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.site import Site

TOKEN = "glpat-of-a-private-remote"


@pytest.fixture
def private(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Return a site whose remote requires a token, which the local git gets from a credential helper."""
    helper = site.project.parent / "helper"
    helper.write_text(f"#!/bin/sh\necho username=me\necho password={TOKEN}\n")
    helper.chmod(0o700)
    site.git("config", "credential.helper", str(helper))
    with private_remote(site.remote.parent, TOKEN) as address:
        site.git("config", "--file", str(site.remote / "config"), "http.receivepack", "true")
        site.git("remote", "set-url", "origin", f"{address}/{site.remote.name}")
        site.commit(
            {
                "conf/base/databricks.yml": (
                    "code:\n  folder: /Workspace/Repos/{user}/tiny\n  provider: gitLabEnterpriseEdition\n"
                ),
                "requirements.txt": "kedro\nkedro-databricks-hybrid\n",
            }
        )
        yield site


def test_an_address_that_wants_a_login_is_there(private: Site) -> None:
    """The local git has no login for the remote: the doctor's finding is green, as Databricks has its own."""
    private.git("config", "--unset", "credential.helper")
    url = private.git("remote", "get-url", "origin")
    source = git_source.source(private.repository, Code(provider="gitHub"))
    assert source.url == url
    found = of_project.address(private.repository, source)
    assert (found.level, "wants a login" in found.found) == (Level.GREEN, True)


def credential(site: Site, status: int) -> dict[str, Any]:
    """Return the doctor's finding about the Git credential."""
    told = json.loads(site.call("doctor", "--json", status=status).stdout.splitlines()[-1])
    return next(each for each in told if each["check"] == "Git credential")


def test_from_no_credential_to_one_that_is_revoked(
    private: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No credential, a wrong and a right one: each has its message and fix; no token appears anywhere."""
    caplog.set_level(logging.DEBUG)
    with watched_processes() as seen:
        outputs = _through_all_states(private, monkeypatch)
    assert any("git push" in line for line in seen)
    folders = (private.project, private.remote, private.project.parent / "state", private.files)
    files = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    texts = [*outputs, *seen, caplog.text, *(content.decode(errors="replace") for content in files)]
    for secret in (TOKEN, "glpat-wrong", private.sandbox.user.token):
        assert not [text for text in texts if secret in text]


def _through_all_states(private: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the commands that use Git in each state of the credential, and return what they printed."""
    outputs = [refused := private.call("push", "--no-data", status=1).output]
    assert "Missing Git provider credentials" in refused
    assert "kedro databricks init --git-token-env=VARIABLE" in refused
    assert credential(private, 1)["level"] == "yellow"

    monkeypatch.setenv("WRONG", "glpat-wrong")
    outputs.append(private.call("init", "--git-token-env=WRONG", status=1).output)
    outputs.append(refused := private.call("push", "--no-data", status=1).output)
    assert "Invalid Git provider credentials" in refused

    monkeypatch.setenv("RIGHT", TOKEN)
    outputs.append(private.call("init", "--git-token-env=RIGHT").output)
    private.git("add", ".")
    private.git("commit", "-q", "-m", "Prepared")
    outputs.append(private.call("push", "--no-data", "--json").output)
    private.write({"new.txt": "x\n"})
    outputs += [private.call("push", "--no-data", "--wip").output, private.call("pull").output]
    before = (private.repo().branch, private.repo().head_commit_id, private.git("ls-remote", "origin"))
    found = credential(private, 0)
    assert (found["level"], found["fix"]) == ("green", None)
    assert "Databricks can fetch with it" in found["found"]

    private.call("init", "--git-token-env=WRONG")
    found = credential(private, 1)
    assert found["level"] == "red"
    assert "Invalid Git provider credentials" in found["found"]
    assert found["fix"] == "kedro databricks init --git-token-env=VARIABLE"
    assert (
        private.repo().branch,
        private.repo().head_commit_id,
        private.git("ls-remote", "origin"),
    ) == before

    outputs += [json.dumps(found), private.call("status", "--json").output]
    return [*outputs, private.call("pull", status=1).output]
