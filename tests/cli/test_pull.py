"""Pull: branches and tags, read back and compared with the remote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.site import Site


def test_a_tag_is_a_detached_checkout(pushed: Site) -> None:
    """The folder is at the tag's commit and on no branch; a later pull checks out the branch again."""
    first = pushed.git("rev-parse", "HEAD")
    pushed.git("tag", "-a", "v1", "-m", "one")
    pushed.git("push", "-q", "origin", "v1")
    pushed.commit({}, "Second")
    pushed.call("push", "--no-data")
    assert "(First) on tag v1" in pushed.call("pull", "--tag", "v1").output
    assert (pushed.repo().branch, pushed.repo().head_commit_id) == (None, first)
    pushed.call("pull")
    assert (pushed.repo().branch, pushed.repo().head_commit_id) == ("main", pushed.git("rev-parse", "HEAD"))


def test_another_branch(pushed: Site) -> None:
    """A branch that only the remote has can be pulled; a warning names a local branch that is ahead."""
    pushed.git("push", "-q", "origin", "HEAD:refs/heads/release")
    assert "on release" in pushed.call("pull", "--branch", "release").output
    pushed.commit({}, "Ahead")
    assert "Your local main is at" in pushed.call("pull").output


def test_what_the_remote_does_not_have(pushed: Site) -> None:
    """Pull of a missing branch or tag: the error names it, and the folder does not change."""
    assert "no tag 'v9'" in pushed.call("pull", "--tag", "v9", status=1).output
    assert "no branch 'nope'" in pushed.call("pull", "--branch", "nope", status=1).output
    assert pushed.repo().branch == "main"


def test_a_remote_that_only_databricks_reaches(pushed: Site) -> None:
    """Pull does not need to reach the remote from this machine."""
    pushed.git("remote", "set-url", "origin", "https://127.0.0.1:9/x.git")
    assert "Databricks has" in pushed.call("pull").output


def test_branch_and_tag_exclude_each_other(pushed: Site) -> None:
    """--branch and --tag exclude each other."""
    pushed.call("pull", "--branch", "a", "--tag", "b", status=2)


def test_dry_run_pulls_nothing(pushed: Site) -> None:
    """`pull --dry-run` prints what would be checked out, and changes nothing."""
    pushed.git("push", "-q", "origin", "HEAD:refs/heads/release")
    assert "Would check out release" in pushed.call("pull", "--branch", "release", "--dry-run").output
    assert pushed.repo().branch == "main"


def test_json_of_the_code_commands(pushed: Site) -> None:
    """One line of JSON on stdout, also with --dry-run; all other output is on stderr."""
    sha = pushed.commit({}, "Second")
    for arguments, expected in (
        (("push", "--json", "--dry-run"), {"dry_run": True, "commit": sha, "branch": "main"}),
        (("push", "--json"), {"dry_run": False, "commit": sha, "branch": "main", "folder": pushed.path}),
        (("pull", "--json"), {"dry_run": False, "commit": sha, "branch": "main", "data": None}),
        (("pull", "--json", "--data", "--dry-run"), {"dry_run": True, "commit": sha, "tag": None}),
        (("init", "--json", "--dry-run"), {"dry_run": True, "instructions": []}),
    ):
        result = pushed.call(*arguments)
        assert len(result.stdout.splitlines()) == 1
        told = json.loads(result.stdout)
        assert {name: told[name] for name in expected} == expected
        assert "Databricks has" in result.stderr or told["dry_run"]
    assert pushed.call("push", "--json").stdout.count("dbfs:/root/projects/tiny/data") == 1
