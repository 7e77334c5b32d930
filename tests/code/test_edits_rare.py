"""Edits in the Git folder under odd settings of git, in odd notebooks, and where they cannot be told."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid import git_folder, git_folder_edits, rescue
from kedro_databricks_hybrid.cli import data_pull, startup_files
from kedro_databricks_hybrid.errors import DirtyGitFolderError
from kedro_databricks_hybrid.git import Repository
from kedro_databricks_hybrid.git_folder import Target

if TYPE_CHECKING:
    from tests.code.site import Site

OVERWRITTEN = "Your local changes to the following files would be overwritten by checkout: a.txt."


def notebook(source: str, **layout: int) -> str:
    """Return a Jupyter notebook with one cell."""
    cell: dict[str, object] = {
        "cell_type": "code",
        "source": [source],
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, **layout)  # type: ignore[arg-type]


def folder_of(site: Site) -> git_folder.GitFolder:
    """Return the site's Git folder."""
    return git_folder.get(site.workspace(), PurePosixPath(site.path))


def paths(site: Site) -> dict[str, str]:
    """Return what was edited in the site's Git folder."""
    return git_folder_edits.read(site.workspace(), folder_of(site), site.repository).paths


def saved_branches(site: Site) -> list[str]:
    """Return the branches here that hold edits."""
    found = site.git("for-each-ref", "--format=%(refname:short)", f"refs/heads/{rescue.BRANCHES}/")
    return found.splitlines()


def test_a_jupyter_notebook_is_its_cells(site: Site) -> None:
    """Another layout of the same cells is no edit; another cell is one."""
    site.commit({"notebooks/a.ipynb": notebook("1"), "notebooks/b.ipynb": notebook("1")})
    site.call("push", "--no-data")
    site.write(
        {"notebooks/a.ipynb": notebook("1", indent=4), "notebooks/b.ipynb": notebook("2")}, at=site.files
    )
    assert paths(site) == {"notebooks/b.ipynb": "M"}


def test_a_notebook_that_is_none_is_compared_as_it_is() -> None:
    """A file that only has the ending is the same or it is not."""
    same = git_folder_edits._same_notebook  # noqa: SLF001 - the sandbox exports whole notebooks alone
    for broken in (b"{", b"[]", b'{"cells": [1]}', b"{}"):
        assert not same("a.ipynb", notebook("1").encode(), broken)


@pytest.mark.parametrize(
    "setting",
    ["apply.whitespace=fix", "diff.noprefix=true", "diff.mnemonicPrefix=true", "color.ui=always",
     "diff.relative=true", "diff.renames=copies"],
)  # fmt: skip
def test_saving_whatever_git_is_told(pushed: Site, setting: str) -> None:
    """How the user likes diffs and patches does not change what is saved."""
    pushed.git("config", *setting.split("="))
    pushed.write({"requirements.txt": "kedro  \n\t x \n\n\n", "new.txt": "trailing \n"}, at=pushed.files)
    pushed.call("push", "--no-data", "--save")
    (branch,) = saved_branches(pushed)
    assert pushed.git("show", f"{branch}:new.txt") == "trailing "
    shown = pushed.repository.file_at(branch, "requirements.txt")
    assert shown == b"kedro  \n\t x \n\n\n"


def test_other_edits_are_another_branch(pushed: Site) -> None:
    """Each save has what was there then."""
    for text in ("one\n", "two\n"):
        pushed.write({"notes.txt": text}, at=pushed.files)
        pushed.call("push", "--no-data", "--save")
    assert sorted(pushed.git("show", f"{each}:notes.txt") for each in saved_branches(pushed)) == [
        "one",
        "two",
    ]


def test_a_refusal_where_nothing_is_edited(pushed: Site) -> None:
    """Databricks' own words are all there is to say; no branch is offered that would be empty."""
    pushed.commit({}, "Second")
    pushed.sandbox.faults.add("status", method="PATCH", status=400, message=OVERWRITTEN)
    said = pushed.call("push", "--no-data", status=1).output
    assert "a.txt" in said
    assert "commit or discard these edits there" in said
    assert "--save" not in said


def test_edits_on_a_commit_that_is_nowhere(pushed: Site, tmp_path: Path) -> None:
    """They cannot be told from the commit, so that is what is told beside Databricks' refusal."""
    pushed.git("init", "-q", "-b", "main", str(tmp_path / "other"))
    pushed.git("commit", "-q", "--allow-empty", "-m", "Other", at=tmp_path / "other")
    pushed.sandbox.faults.add("status", method="PATCH", status=400, message=OVERWRITTEN)
    way = rescue.Way(save=False, may_discard=lambda: False, say=print, again="kedro databricks push")
    with pytest.raises(DirtyGitFolderError, match=r"a\.txt.*which is not here") as caught:
        rescue.check_out(
            pushed.workspace(), Repository(tmp_path / "other"), folder_of(pushed), Target("main"), way
        )
    assert "git fetch" in (caught.value.hint or "")


def test_the_users_settings_run_nothing_from_the_git_folder(pushed: Site) -> None:
    """Programs of the repository that the user lets git run are not taken from the files that are saved."""
    settings = ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process")
    for setting in settings:
        pushed.git("config", setting, f"sh tools/{setting}")
    harmless: dict[str, str | bytes | None] = {f"tools/{setting}": "exit 1\n" for setting in settings}
    pushed.commit({"x.evil": "1\n", **harmless})
    pushed.call("push", "--no-data")
    ran = pushed.project.parent / "ran"
    evil: dict[str, str | bytes | None] = {f"tools/{setting}": f": > '{ran}'\ncat\n" for setting in settings}
    pushed.write({"x.evil": "2\n", ".gitattributes": "*.evil filter=evil\n", **evil}, at=pushed.files)
    pushed.call("push", "--no-data", "--save")
    assert not ran.exists()
    (branch,) = saved_branches(pushed)
    assert pushed.git("cat-file", "blob", f"{branch}:x.evil") == "2"


def test_a_repository_in_the_git_folder_is_refused(pushed: Site) -> None:
    """It is named, and nothing is saved or discarded; the folder's own one at the top is no file of it."""
    pushed.write({".git/config": "x", "notes.txt": "x\n"}, at=pushed.files)
    assert paths(pushed) == {"notes.txt": "A"}
    pushed.write({"sub/.GIT/config": "[core]\n\tfsmonitor = evil\n"}, at=pushed.files)
    for arguments in (("push", "--no-data", "--force"), ("pull", "--force", "--startup-files")):
        said = pushed.call(*arguments, status=1).output
        assert "has sub/.GIT, which git would act on here. Delete or rename it on Databricks" in said
    assert saved_branches(pushed) == []
    assert (pushed.files / "notes.txt").exists()


def test_start_up_files_are_saved_with_consent_alone(pushed: Site) -> None:
    """Without it they stay there: nothing is discarded that is not saved."""
    pushed.commit({"conftest.py": "old\n"})
    pushed.call("push", "--no-data")
    pushed.write({".envrc": "new\n", "conftest.py": "new\n", "notes.txt": "x\n"}, at=pushed.files)
    said = pushed.call("push", "--no-data", "--force", status=1).output
    assert "Programs may run these when they start: .envrc, conftest.py." in said
    assert ".envrc (not saved), conftest.py (not saved), notes.txt (new)" in said
    assert "kedro databricks push --save --startup-files" in said
    (branch,) = saved_branches(pushed)
    assert pushed.git("diff", "--name-only", "HEAD", branch) == "notes.txt"
    assert (pushed.files / ".envrc").read_text() == "new\n"
    assert "Programs may run these" in pushed.call("pull", "--force", "--startup-files").output
    assert not (pushed.files / ".envrc").exists()
    (other,) = set(saved_branches(pushed)) - {branch}
    assert pushed.git("diff", "--name-only", "HEAD", other).split() == [".envrc", "conftest.py", "notes.txt"]


def test_start_up_files_alone_that_are_left_out_or_here_already(pushed: Site) -> None:
    """Nothing is saved then, or nothing is asked."""
    pushed.write({".envrc": "new\n"}, at=pushed.files)
    said = pushed.call("pull", "--save", "--no-startup-files").output
    assert "nowhere: .envrc (not saved)" in said
    assert saved_branches(pushed) == []
    pushed.write({".envrc": "new\n"})
    said = pushed.call("pull", "--save").output
    assert "Programs may run" not in said
    assert len(saved_branches(pushed)) == 1


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_start_up_files_of_the_data_root_are_asked_about(
    pushed: Site, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """At a terminal the answer counts, and Enter means no; elsewhere the option has to say it."""
    root = pushed.sandbox.layout.dbfs / "root/projects/tiny/data"
    pushed.write({"08/a.csv": "a", "08/.envrc": "evil", "08/x\u200c.pth": "evil"}, at=root)
    dry = json.loads(pushed.call("data", "pull", "--all", "--dry-run", "--json").stdout)
    assert (dry["take"], dry["left_out"]) == (["08/a.csv"], ["08/.envrc", "08/x\u200c.pth"])
    said = pushed.call("data", "pull", "--all", status=1).output
    assert "may run these when they start: 08/.envrc, 08/x\\u200c.pth." in said
    assert "--startup-files` takes" in said
    assert not (pushed.project / "data/08/.envrc").exists()
    assert "is up to date (1 file)" in pushed.call("data", "pull", "--all", "--no-startup-files").output
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(startup_files, "sys", terminal)
    monkeypatch.setattr(data_pull, "sys", terminal)
    pushed.call("data", "pull", "--all", input=f"{answer}\n")
    assert (pushed.project / "data/08/.envrc").exists() == (answer == "y")


def test_the_option_takes_start_up_files(pushed: Site) -> None:
    """Of the data root too, and once they are here nobody asks again."""
    root = pushed.sandbox.layout.dbfs / "root/projects/tiny/data"
    pushed.write({"08/.envrc": "mine"}, at=root)
    pushed.call("data", "pull", "--all", "--startup-files")
    assert (pushed.project / "data/08/.envrc").read_text() == "mine"
    assert "may run" not in pushed.call("data", "pull", "--all").output
