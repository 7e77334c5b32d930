"""The sections of status, and that status changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import rich

from kedro_databricks_hybrid.databricks import git_folder_edits
from kedro_databricks_hybrid.transfer import files

if TYPE_CHECKING:
    from tests.site import Site


def told(site: Site) -> dict[str, Any]:
    """Return the output of `status --json`."""
    found: dict[str, Any] = json.loads(site.call("status", "--json").stdout)
    return found


def test_before_the_first_push(site: Site) -> None:
    """Before the first push, each section says what is missing."""
    lines = site.call("status").output
    assert "main at" in lines
    assert "never pushed" in lines
    assert "has no branch main" in lines
    assert "There is no Git folder" in lines
    assert "1 to upload" in lines
    assert "sandbox is running" in lines


def test_after_a_push_both_sides_agree(site: Site) -> None:
    """After a push, three sections have the same commit; there are no edits and no data to transfer."""
    site.call("push")
    head = site.git("rev-parse", "HEAD")
    found = told(site)
    assert [found[name]["commit"] for name in ("here", "Git remote", "Git folder")] == [head] * 3
    assert found["here"]["edits"] == []
    assert found["Git folder"]["edits"] == {}
    assert (found["data"]["upload"], found["data"]["conflict"]) == ([], [])
    assert found["last run"] == {"id": None}


def test_json_moves_kedros_log_to_stderr_for_one_command(site: Site) -> None:
    """After a command with --json, what this process logs goes to stdout again."""
    told(site)
    assert rich.get_console().stderr is False


def test_serverless_in_place_of_a_cluster(site: Site) -> None:
    """With serverless compute no cluster is requested, and the section says that runs become jobs."""
    site.write({"conf/databricks/databricks.yml": "compute:\n  cluster: serverless\n"})
    assert "serverless compute; every run becomes a job" in site.call("status").output


def test_no_cluster_is_serverless(site: Site) -> None:
    """Without a named or visible cluster, status and doctor say that runs use serverless compute."""
    site.write(
        {
            "conf/base/databricks.yml": "code:\n  folder: /Workspace/Repos/{user}/tiny\n",
            "conf/databricks/databricks.yml": "data:\n  root: /Volumes/main/default/data/tiny\n",
        }
    )
    clusters = site.workspace().client.clusters
    for each in clusters.list():
        clusters.permanent_delete(str(each.cluster_id))
    said = "You can see no all-purpose cluster: serverless compute; every run becomes a job"
    assert f"cluster     {said}" in site.call("status").output
    examined = json.loads(site.call("doctor", "--json", status=1).stdout)
    assert [(each["level"], each["found"]) for each in examined if each["check"] == "cluster"] == [
        ("green", said)
    ]


def test_an_edit_of_equal_size_on_dbfs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local edit is listed also if the time of the remote file cannot prove that it is what was sent."""
    monkeypatch.setattr(files, "_CLOCK_SKEW", 3600)
    site.call("push")
    assert "same size" in site.call("data", "ls").stdout
    site.write({"data/01_raw/raw.csv": "a,b\n1,2\n3,5\n"})
    assert told(site)["data"]["upload"] == ["01_raw/raw.csv"]
    assert "changed here" in site.call("data", "ls").stdout


@pytest.mark.usefixtures("settled")
def test_both_sides_edited(site: Site) -> None:
    """Status shows commits ahead, edits on both sides, changed local data and new results."""
    site.call("push")
    before = site.git("rev-parse", "HEAD")
    head = site.commit({"data/01_raw/raw.csv": "a,b\n5,6\n"}, "Second")
    site.write({"requirements.txt": "kedro\nnumpy\n"})
    site.write({"conf/base/catalog.yml": "edited: there\n"}, at=site.files)
    made = site.sandbox.layout.dbfs / "root/projects/tiny/data/02_intermediate"
    made.mkdir(exist_ok=True, parents=True)
    (made / "doubled.csv").write_text("a,b\n2,4\n")
    found = told(site)
    assert (found["here"]["commit"], found["here"]["ahead"], found["here"]["behind"]) == (head, 1, 0)
    assert found["here"]["edits"] == ["requirements.txt"]
    assert found["Git folder"]["commit"] == before
    assert found["Git folder"]["edits"] == {"conf/base/catalog.yml": "M"}
    assert found["data"]["upload"] == ["01_raw/raw.csv"]
    assert found["data"]["download"] == ["02_intermediate/doubled.csv"]
    lines = site.call("status").output
    assert "1 ahead and 0 behind origin/main" in lines
    assert "not your commit" in lines
    assert "1 edit made in the Git folder: conf/base/catalog.yml" in lines


_TABLE = """\
raw:
  type: pandas.CSVDataset
  filepath: data/01_raw/raw.csv
doubled:
  type: spark.SparkDataset
  filepath: data/02_intermediate/table
copied:
  type: pandas.CSVDataset
  filepath: data/02_intermediate/copied.csv
"""
_TWO_OUTPUTS = """\
from kedro.pipeline import node, pipeline


def register_pipelines():
    nodes = [node(lambda x: x, "raw", name, name=name) for name in ("doubled", "copied")]
    return {"__default__": pipeline(nodes)}
"""


def test_results_of_a_local_run_are_in_conflict_everywhere(site: Site) -> None:
    """Results of a local run conflict with the cluster's in status, data ls and pull.

    A Spark folder counts as one item, and no message says that a user edited it.
    """
    site.commit({"conf/base/catalog.yml": _TABLE, "src/tiny_shop/pipeline_registry.py": _TWO_OUTPUTS})
    root = site.sandbox.layout.dbfs / "root/projects/tiny"
    for place, text, part in ((site.project, "here\n", "0-a"), (root, "there there\n", "0-b")):
        made = {
            "copied.csv": text,
            f"table/part-{part}": text,
            "table/_SUCCESS": "",
            f"table/part-1{part}": text,
        }
        site.write({f"data/02_intermediate/{name}": content for name, content in made.items()}, at=place)
    conflicts = ["02_intermediate/copied.csv", "02_intermediate/table"]
    assert told(site)["data"]["conflict"] == conflicts
    lines = site.call("data", "ls").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines if line.endswith("changed on both sides")] == [
        "02_intermediate/copied.csv", "02_intermediate/table/ (5 files)"
    ]  # fmt: skip
    listed = json.loads(site.call("data", "ls", "02_intermediate/table/part-0-a", "--json").stdout)
    assert [(each["path"], each["state"]) for each in listed] == [
        ("02_intermediate/table/part-0-a", "only here")
    ]
    failed = site.call("data", "pull", status=1)
    assert "Kept, since this machine has its own: 02_intermediate/copied.csv, 02_inter" in failed.stderr
    assert "edited" not in failed.stderr


def test_files_that_were_compared_are_not_read_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only files are exported whose time or size differs; a push that discards edits reads all of them."""
    monkeypatch.setattr(git_folder_edits, "_TOO_FRESH_MS", -(10**9))
    site.call("push", "--no-data")

    def exported() -> int:
        site.requests.clear()
        site.call("status")
        return sum("workspace/export" in request for request in site.requests)

    files = len(site.git("ls-files").splitlines())
    assert [exported(), exported()] == [files, 0]
    site.write({"requirements.txt": "kedri\n"}, at=site.files)  # of the same size
    assert exported() == 1
    assert told(site)["Git folder"]["edits"] == {"requirements.txt": "M"}
    site.requests.clear()
    site.call("push", "--no-data", "--save")
    assert sum("workspace/export" in request for request in site.requests) >= files


def test_status_changes_nothing(site: Site) -> None:
    """Status sends only GET requests, and changes no ref, object or file of the project."""
    site.call("push")
    site.write({"new.txt": "x\n"}, at=site.files)
    before = site.git("for-each-ref"), site.git("count-objects", "-v"), site.git("status", "--short")
    site.requests.clear()
    site.call("status")
    assert {request.partition(" ")[0] for request in site.requests} == {"GET"}
    after = site.git("for-each-ref"), site.git("count-objects", "-v"), site.git("status", "--short")
    assert after == before


def test_a_remote_that_does_not_answer(site: Site) -> None:
    """The remote does not answer: the other sections are printed."""
    site.call("push", "--no-data")
    site.remote.rename(site.remote.with_suffix(".gone"))
    lines = site.call("status").output
    assert "does not answer" in lines
    assert "your commit" in lines


def test_a_branch_that_was_deleted_at_the_remote(site: Site) -> None:
    """It was pushed once, so it is not called never pushed."""
    site.call("push", "--no-data")
    site.git("update-ref", "-d", "refs/heads/main", at=site.remote)
    site.git("fetch", "-q", "--prune", "origin")
    said = site.call("status").output
    assert "origin/main was deleted at the remote" in said
    assert "never pushed" not in said


def test_with_a_detached_head(site: Site) -> None:
    """Without a branch, status still works."""
    site.git("checkout", "-q", "--detach")
    assert "no branch at" in site.call("status").output


def test_without_a_login(site: Site, monkeypatch: Any) -> None:
    """The local section is printed before the error."""
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-wrong")
    said = site.call("status", status=1).output
    assert "main at" in said
    assert "does not accept the login" in said
    assert "dapi-wrong" not in said


def test_a_git_folder_at_a_commit_that_is_not_here(pushed: Site) -> None:
    """A colleague's commit is shown by its hash, and edits are unknown without it."""
    colleague = pushed.project.parent / "colleague"
    pushed.git("clone", "-q", str(pushed.remote), str(colleague))
    pushed.write({"theirs.txt": "x\n"}, at=colleague)
    pushed.git("add", "--all", at=colleague)
    pushed.git("commit", "-q", "-m", "Theirs", at=colleague)
    pushed.git("push", "-q", at=colleague)
    pushed.workspace().client.repos.update(pushed.repo().id, branch="main")
    sha = pushed.git("rev-parse", "HEAD", at=colleague)
    lines = pushed.call("status").output
    assert f"{sha[:7]} (not in this repository), not your commit" in lines
    assert "edits unknown: " in lines
    assert told(pushed)["Git folder"]["edits"] is None


def test_a_last_run_of_which_little_was_noted(site: Site) -> None:
    """The last run has no commit, user or end in its log, as from an earlier version: status works."""
    run = site.sandbox.layout.dbfs / "root/projects/tiny/data/.kedro-hybrid/runs/20261124-1/run.json"
    run.parent.mkdir(parents=True)
    run.write_text('{"env": "databricks"}')
    assert "20261124-1 no end, ran no commit\n" in site.call("status").output
    assert told(site)["last run"] == {"id": "20261124-1", "outcome": "no end", "commit": None, "user": None}
