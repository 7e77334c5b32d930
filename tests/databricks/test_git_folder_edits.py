"""Edits made in the Git folder: found, saved as a local branch, and discarded only with consent."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.service.workspace import ObjectInfo, ObjectType

from kedro_databricks_hybrid.cli import data_pull, startup_files
from kedro_databricks_hybrid.databricks import git_folder, git_folder_edits, git_folder_rescue
from kedro_databricks_hybrid.databricks.git_folder import Target
from kedro_databricks_hybrid.errors import DirtyGitFolderError, GitError, WorkspaceError
from kedro_databricks_hybrid.git.repository import Repository

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.git_folder_edits import Edits
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from tests.site import Site

NOTEBOOK = "# Databricks notebook source\nprint(1)\n"
JUPYTER = (
    '{"cells": [{"cell_type": "code", "source": ["1"], "metadata": {}, "outputs": [], '
    '"execution_count": null}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
)
ODD_NAMES = ("with space.txt", "-leading.txt", "ä ✓.txt", "sub/deep er/x.txt")
OVERWRITTEN = "Your local changes to the following files would be overwritten by checkout: a.txt."


def path_of(site: Site) -> PurePosixPath:
    """Return the Git folder's path."""
    return PurePosixPath(site.path)


def edits(site: Site) -> Edits:
    """Compare the site's Git folder with its head commit."""
    workspace = site.workspace()
    return git_folder_edits.read(workspace, git_folder.get(workspace, path_of(site)), site.repository)


def test_a_fresh_git_folder_has_no_edits(site: Site) -> None:
    """Notebooks, unusual names, Windows line endings and executables do not look edited."""
    site.commit(
        {
            **dict.fromkeys(ODD_NAMES, "x\n"),
            "notebooks/a.py": NOTEBOOK,
            "notebooks/b.ipynb": JUPYTER,
            "windows.txt": b"a\r\nb\r\n",
            "empty.txt": b"",
            "run.sh": "#!/bin/sh\n",
        }
    )
    (site.project / "run.sh").chmod(0o755)
    site.commit({}, "Executable")
    site.call("push", "--no-data")
    assert edits(site).paths == {}


def test_every_kind_of_edit_is_named(site: Site) -> None:
    """Changed, new and deleted files and notebooks are found, and ignored files are not."""
    site.commit({**dict.fromkeys(ODD_NAMES, "x\n"), "notebooks/a.py": NOTEBOOK, "gone.txt": "x\n"})
    site.call("push", "--no-data")
    site.write(
        {
            **dict.fromkeys(ODD_NAMES, "y\n"),
            "notebooks/a.py": NOTEBOOK + "print(2)\n",
            "gone.txt": None,
            "new file.txt": "new\n",
            "server.log": "ignored\n",
            "data/02_intermediate/big/x.csv": "ignored\n",
            "src/tiny_shop/__pycache__/x.pyc": b"ignored",
        },
        at=site.files,
    )
    assert edits(site).paths == {
        **dict.fromkeys(ODD_NAMES, "M"),
        "notebooks/a.py": "M",
        "gone.txt": "D",
        "new file.txt": "A",
    }


def test_looking_leaves_the_repository_as_it_was(pushed: Site) -> None:
    """Finding edits changes no object, ref or index of the local repository."""
    pushed.write({"new.txt": "only there\n"}, at=pushed.files)
    before = pushed.git("count-objects", "-v"), pushed.git("for-each-ref"), pushed.git("status", "--short")
    assert edits(pushed).paths == {"new.txt": "A"}
    assert before == (
        pushed.git("count-objects", "-v"),
        pushed.git("for-each-ref"),
        pushed.git("status", "--short"),
    )


def test_push_names_the_files_that_stand_in_the_way(pushed: Site) -> None:
    """Push conflicts with an edit: the error names the edited and new files and the command that saves."""
    pushed.write({"requirements.txt": "theirs\n", "notes.txt": "x\n"}, at=pushed.files)
    pushed.commit({"requirements.txt": "mine\n"})
    said = pushed.call("push", "--no-data", status=1).output
    assert "requirements.txt" in said
    assert "notes.txt (new)" in said
    assert "kedro databricks push --save" in said
    assert (pushed.files / "requirements.txt").read_text() == "theirs\n"


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_save_without_force_saves_the_edits_and_discards_nothing(pushed: Site, verb: str) -> None:
    """`--save` commits the edits to a local branch; Git folder, local files and branch stay."""
    base = pushed.git("rev-parse", "HEAD")
    pushed.write({"requirements.txt": "theirs\n", "ä new.txt": "x\n"}, at=pushed.files)
    pushed.commit({"requirements.txt": "mine\n"})
    pushed.git("push", "-q", "origin", "main")
    said = pushed.call(verb, *["--no-data"] * (verb == "push"), "--save", status=1).output
    branch = pushed.git(
        "for-each-ref", "--format=%(refname:short)", f"refs/heads/{git_folder_rescue.BRANCHES}/"
    )
    assert branch in said
    assert f"kedro databricks {verb} --force" in said
    assert pushed.git("rev-parse", f"{branch}^") == base
    assert pushed.git("show", f"{branch}:requirements.txt") == "theirs"
    assert pushed.git("show", f"{branch}:ä new.txt") == "x"
    assert (pushed.files / "requirements.txt").read_text() == "theirs\n"
    assert pushed.git("status", "--porcelain") == ""
    assert pushed.git("branch", "--show-current") == "main"


def test_saving_twice_makes_one_branch(pushed: Site) -> None:
    """Saving the same edits twice creates one branch."""
    pushed.write({"notes.txt": "x\n"}, at=pushed.files)
    pushed.call("push", "--no-data", "--save")
    said = pushed.call("push", "--no-data", "--save").output
    branches = pushed.git(
        "for-each-ref", "--format=%(refname:short)", f"refs/heads/{git_folder_rescue.BRANCHES}/"
    )
    assert len(branches.splitlines()) == 1
    assert branches in said


def test_force_saves_then_discards(pushed: Site, tmp_path: Path) -> None:
    """`--force` saves edits of every kind as a commit, then the Git folder has only the pushed commit."""
    binary, edited = bytes(range(256)) * 9, b"\x00\xff\r\n" * 99
    pushed.commit(
        {
            "requirements.txt": "kedro\n",
            "logo.png": binary,
            "gone.txt": "x\n",
            "windows.txt": b"a\r\n",
            "notebooks/a.py": NOTEBOOK,
            "notebooks/b.ipynb": JUPYTER,
        }
    )
    pushed.call("push", "--no-data")
    base = pushed.git("rev-parse", "HEAD")
    theirs: dict[str, str | bytes | None] = {
        "requirements.txt": "theirs\n", "logo.png": edited, "gone.txt": None, "windows.txt": b"a\r\nb\r\n",
        "notebooks/a.py": NOTEBOOK + "print(2)\n", "notes.txt": "x\n", "-new dir/ä.bin": edited,
    }  # fmt: skip
    pushed.write(theirs, at=pushed.files)
    head = pushed.commit({"requirements.txt": "mine\n"})
    said = pushed.call("push", "--no-data", "--force").output
    assert "Saved the edits" in said
    assert pushed.repo().head_commit_id == head
    assert (pushed.files / "requirements.txt").read_text() == "mine\n"
    assert not (pushed.files / "notes.txt").exists()
    branch = pushed.git(
        "for-each-ref", "--format=%(refname:short)", f"refs/heads/{git_folder_rescue.BRANCHES}/"
    )
    elsewhere = tmp_path / "elsewhere"
    pushed.git("clone", "-q", str(pushed.remote), str(elsewhere))
    pushed.git("switch", "-q", "--detach", base, at=elsewhere)
    pushed.git("format-patch", "-q", "-1", "--binary", "-o", str(tmp_path), branch)
    pushed.git("apply", "--whitespace=nowarn", str(next(tmp_path.glob("*.patch"))), at=elsewhere)
    for name, content in theirs.items():
        if content is None:
            assert not (elsewhere / name).exists()
        else:
            expected = content.encode() if isinstance(content, str) else content
            assert (elsewhere / name).read_bytes() == expected, name


def test_force_without_edits_says_so(pushed: Site) -> None:
    """`--force` without edits says so and creates no branch."""
    assert "Nothing was edited" in pushed.call("push", "--no-data", "--force").output
    assert pushed.git("for-each-ref", f"refs/heads/{git_folder_rescue.BRANCHES}/") == ""


def test_edits_that_go_on_are_not_discarded(pushed: Site) -> None:
    """A file is edited again after saving: the edits are not discarded."""
    workspace = pushed.workspace()
    folder = git_folder.get(workspace, path_of(pushed))
    pushed.write({"requirements.txt": "theirs\n"}, at=pushed.files)
    saved = git_folder_rescue.save(workspace, pushed.repository, folder)
    assert saved is not None
    pushed.write({"requirements.txt": "theirs, later\n"}, at=pushed.files)
    with pytest.raises(DirtyGitFolderError, match="edited again"):
        git_folder_rescue.discard(workspace, pushed.repository, folder, Target("main"), saved)
    assert (pushed.files / "requirements.txt").read_text() == "theirs, later\n"


def test_edits_on_a_colleagues_commit(pushed: Site) -> None:
    """The Git folder has a colleague's commit: it is fetched, and no remote-tracking ref changes."""
    colleague = pushed.project.parent / "colleague"
    pushed.git("clone", "-q", str(pushed.remote), str(colleague))
    pushed.write({"theirs.txt": "one\n"}, at=colleague)
    pushed.git("add", ".", at=colleague)
    pushed.git("commit", "-q", "-m", "Theirs", at=colleague)
    pushed.git("push", "-q", at=colleague)
    pushed.call("pull")
    pushed.write({"theirs.txt": "edited\n"}, at=pushed.files)
    before = pushed.git("for-each-ref", "refs/remotes")
    said = pushed.call("pull", "--save").output
    assert "theirs.txt" in said
    assert pushed.git("for-each-ref", "refs/remotes") == before


def test_a_commit_that_nobody_else_has(pushed: Site) -> None:
    """The Git folder has a commit that is in no remote: saving fails and says so."""
    workspace = pushed.workspace()
    found = git_folder.get(workspace, path_of(pushed))
    folder = git_folder.GitFolder(found.repo_id, found.path, found.branch, "0" * 40, found.url)
    with pytest.raises(GitError, match="this repository lacks"):
        git_folder_rescue.save(workspace, pushed.repository, folder)


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
    """Return the local branches with saved edits."""
    found = site.git("for-each-ref", "--format=%(refname:short)", f"refs/heads/{git_folder_rescue.BRANCHES}/")
    return found.splitlines()


def test_a_jupyter_notebook_is_its_cells(site: Site) -> None:
    """A Jupyter notebook with other formatting is not edited; one with another cell is."""
    site.commit({"notebooks/a.ipynb": notebook("1"), "notebooks/b.ipynb": notebook("1")})
    site.call("push", "--no-data")
    site.write(
        {"notebooks/a.ipynb": notebook("1", indent=4), "notebooks/b.ipynb": notebook("2")}, at=site.files
    )
    assert paths(site) == {"notebooks/b.ipynb": "M"}


def test_a_new_notebook_has_the_format_that_databricks_will_commit(pushed: Site) -> None:
    """New notebooks in both formats have the right file name, also next to a file of that name."""
    source = "# Databricks notebook source\n1\n"
    pushed.write({"new/a.ipynb": notebook("1"), "new/b.py": source, "new/c.txt": "c\n"}, at=pushed.files)
    assert paths(pushed) == {"new/a.ipynb": "A", "new/b.py": "A", "new/c.txt": "A"}
    pushed.commit({"both/n.py": "n = 1\n", "both/n.ipynb": notebook("1")})
    (pushed.files / "new" / "a.ipynb").unlink()
    pushed.call("push", "--no-data")
    assert paths(pushed) == {"new/b.py": "A", "new/c.txt": "A"}


def test_objects_that_cannot_be_read_are_not_deleted(pushed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that cannot be exported, such as dashboards, are not deleted; git's own folder is not new."""
    list_folder = git_folder_edits._list  # noqa: SLF001 - the sandbox has no dashboards
    root = str(folder_of(pushed).path)

    def with_dashboards(workspace: Workspace, address: str) -> list[ObjectInfo]:
        listed = list_folder(workspace, address)
        for each in listed:
            path = each.path or ""
            if path.endswith("/one.lvdash.json"):
                each.path, each.object_type = path.removesuffix(".lvdash.json"), ObjectType.DASHBOARD
            elif path.endswith("/two.lvdash.json"):
                each.object_type = None  # a type that the SDK does not know
        if address == root:
            listed.append(ObjectInfo(path=f"{address}/.git", object_type=ObjectType.DIRECTORY))
        return listed

    pushed.commit({"a/one.lvdash.json": "{}", "a/two.lvdash.json": "{}", "a/gone.txt": "x\n"})
    pushed.call("push", "--no-data")
    (pushed.files / "a" / "gone.txt").unlink()
    monkeypatch.setattr(git_folder_edits, "_list", with_dashboards)
    assert paths(pushed) == {"a/gone.txt": "D"}


def test_a_notebook_that_is_none_is_compared_as_it_is() -> None:
    """A file that is no valid notebook is compared byte by byte."""
    same = git_folder_edits._same_notebook  # noqa: SLF001 - the sandbox only exports whole notebooks
    for broken in (b"{", b"[]", b'{"cells": [1]}', b"{}"):
        assert not same("a.ipynb", notebook("1").encode(), broken)


@pytest.mark.parametrize(
    "setting",
    ["apply.whitespace=fix", "diff.noprefix=true", "diff.mnemonicPrefix=true", "color.ui=always",
     "diff.relative=true", "diff.renames=copies"],
)  # fmt: skip
def test_saving_whatever_git_is_told(pushed: Site, setting: str) -> None:
    """The user's git settings for diffs and patches do not change what is saved."""
    pushed.git("config", *setting.split("="))
    pushed.write({"requirements.txt": "kedro  \n\t x \n\n\n", "new.txt": "trailing \n"}, at=pushed.files)
    pushed.call("push", "--no-data", "--save")
    (branch,) = saved_branches(pushed)
    assert pushed.git("show", f"{branch}:new.txt") == "trailing "
    shown = pushed.repository.file_at(branch, "requirements.txt")
    assert shown == b"kedro  \n\t x \n\n\n"


def test_other_edits_are_another_branch(pushed: Site) -> None:
    """Saving after other edits creates another branch."""
    for text in ("one\n", "two\n"):
        pushed.write({"notes.txt": text}, at=pushed.files)
        pushed.call("push", "--no-data", "--save")
    assert sorted(pushed.git("show", f"{each}:notes.txt") for each in saved_branches(pushed)) == [
        "one",
        "two",
    ]


def test_a_refusal_where_nothing_is_edited(pushed: Site) -> None:
    """Databricks refuses a checkout without edits: the error has its message and does not suggest --save."""
    pushed.commit({}, "Second")
    pushed.sandbox.faults.add("status", method="PATCH", status=400, message=OVERWRITTEN)
    said = pushed.call("push", "--no-data", status=1).output
    assert "a.txt" in said
    assert "--save" not in said


def test_edits_on_a_commit_that_is_nowhere(pushed: Site, tmp_path: Path) -> None:
    """The folder's commit is not in this repository: the error says so, beside Databricks' message."""
    pushed.git("init", "-q", "-b", "main", str(tmp_path / "other"))
    pushed.git("commit", "-q", "--allow-empty", "-m", "Other", at=tmp_path / "other")
    pushed.sandbox.faults.add("status", method="PATCH", status=400, message=OVERWRITTEN)
    handling = git_folder_rescue.EditHandling(
        save=False, may_discard=lambda: False, say=print, again="kedro databricks push"
    )
    with pytest.raises(WorkspaceError, match=r"a\.txt.*which this repository lacks") as caught:
        git_folder_rescue.check_out(
            pushed.workspace(), Repository(tmp_path / "other"), folder_of(pushed), Target("main"), handling
        )
    assert "git fetch" in (caught.value.hint or "")


def test_the_users_settings_run_nothing_from_the_git_folder(pushed: Site) -> None:
    """Saving runs no program from the Git folder, even if git's settings name it by a relative path."""
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
    """A nested repository in the Git folder is named; nothing is saved or discarded.

    The .git of the Git folder is not listed as a file.
    """
    pushed.write({".git/config": "x", "notes.txt": "x\n"}, at=pushed.files)
    assert paths(pushed) == {"notes.txt": "A"}
    pushed.write({"sub/.GIT/config": "[core]\n\tfsmonitor = evil\n"}, at=pushed.files)
    for arguments in (("push", "--no-data", "--force"), ("pull", "--force", "--startup-files")):
        said = pushed.call(*arguments, status=1).output
        assert "has sub/.GIT, which git would act on here. Delete or rename it on Databricks" in said
    assert saved_branches(pushed) == []
    assert (pushed.files / "notes.txt").exists()


def test_start_up_files_are_only_saved_with_consent(pushed: Site) -> None:
    """Start-up files are saved only with --startup-files; without it, nothing is discarded."""
    pushed.commit({"conftest.py": "old\n"})
    pushed.call("push", "--no-data")
    pushed.write({".envrc": "new\n", "conftest.py": "new\n", "notes.txt": "x\n"}, at=pushed.files)
    said = pushed.call("push", "--no-data", "--force", status=1).output
    assert "Programs may run these files when they start: .envrc, conftest.py." in said
    assert ".envrc (not saved), conftest.py (not saved), notes.txt (new)" in said
    assert "kedro databricks push --save --startup-files" in said
    (branch,) = saved_branches(pushed)
    assert pushed.git("diff", "--name-only", "HEAD", branch) == "notes.txt"
    assert (pushed.files / ".envrc").read_text() == "new\n"
    assert "Programs may run these" in pushed.call("pull", "--force", "--startup-files").output
    assert not (pushed.files / ".envrc").exists()
    (other,) = set(saved_branches(pushed)) - {branch}
    assert pushed.git("diff", "--name-only", "HEAD", other).split() == [".envrc", "conftest.py", "notes.txt"]


def test_only_start_up_files_that_are_left_out_or_exist_locally(pushed: Site) -> None:
    """Without --startup-files nothing is saved; a file with equal local content needs no consent."""
    pushed.write({".envrc": "new\n"}, at=pushed.files)
    said = pushed.call("pull", "--save", "--no-startup-files").output
    assert ": .envrc (not saved)" in said
    assert "Saved no edits" in said
    assert saved_branches(pushed) == []
    pushed.write({".envrc": "new\n"})
    said = pushed.call("pull", "--save").output
    assert "Programs may run" not in said
    assert len(saved_branches(pushed)) == 1


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_start_up_files_of_the_data_root_are_asked_about(
    pushed: Site, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """Start-up files in data: asked at a terminal, where Enter means no; otherwise an option is needed."""
    root = pushed.sandbox.layout.dbfs / "root/projects/tiny/data"
    pushed.write({"08/a.csv": "a", "08/.envrc": "evil", "08/x\u200c.pth": "evil"}, at=root)
    _age(root)
    dry = json.loads(pushed.call("data", "pull", "--all", "--dry-run", "--json").stdout)
    assert (dry["take"], dry["left_out"]) == (["08/a.csv"], ["08/.envrc", "08/x\u200c.pth"])
    said = pushed.call("data", "pull", "--all", status=1).output
    assert "may run these files when they start: 08/.envrc, 08/x\\u200c.pth." in said
    assert "--startup-files` downloads them" in said
    assert not (pushed.project / "data/08/.envrc").exists()
    assert "is up to date (1 file)" in pushed.call("data", "pull", "--all", "--no-startup-files").output
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(startup_files, "sys", terminal)
    monkeypatch.setattr(data_pull, "sys", terminal)
    pushed.call("data", "pull", "--all", input=f"{answer}\n")
    assert (pushed.project / "data/08/.envrc").exists() == (answer == "y")


def test_the_option_takes_start_up_files(pushed: Site) -> None:
    """--startup-files downloads start-up files of the data root; unchanged ones need no consent later."""
    root = pushed.sandbox.layout.dbfs / "root/projects/tiny/data"
    pushed.write({"08/.envrc": "mine"}, at=root)
    _age(root)
    pushed.call("data", "pull", "--all", "--startup-files")
    assert (pushed.project / "data/08/.envrc").read_text() == "mine"
    assert "may run" not in pushed.call("data", "pull", "--all").output


def test_what_runs_write_is_nobodys_edit(site: Site) -> None:
    """Caches, logs and .viz/ are no edits; a checkout overwrites them and says so."""
    written = {".viz/stats.json": "{}\n", "logs/run.log": "a\n"}
    site.write({".gitignore": "/data/02_intermediate/\n/conf/local/\n", "a.txt": "a\n", **written})
    site.commit({})
    site.call("push", "--no-data")
    changes = {".viz/stats.json": '{"x": 1}\n', "logs/run.log": None, "src/__pycache__/x.pyc": b"x"}
    for place in (site.files, site.project):
        site.write(changes, at=place)
    assert (edits(site).paths, sorted(edits(site).by_runs)) == ({}, sorted(changes))
    said = site.call("status").stdout
    assert "edit" not in said
    site.git("checkout", "-q", "--", ".")
    site.commit({".viz/stats.json": '{"y": 2}\n'})
    pushed = site.call("push", "--no-data")
    assert (
        f"Checked out over what runs wrote in {site.path}: .viz/stats.json, src/__pycache__/x.pyc"
        in pushed.stdout
    )
    assert (site.files / ".viz/stats.json").read_text() == '{"y": 2}\n'
    site.write({"a.txt": "edited\n", ".viz/stats.json": "{}\n"}, at=site.files)
    site.commit({"a.txt": "b\n", ".viz/stats.json": '{"y": 3}\n'})
    refused = site.call("push", "--no-data", status=1).stderr
    assert "has edits that a checkout may lose: a.txt." in refused


def _age(root: Path) -> None:
    """Set old modification times: within the same second, a file may have changed without a trace."""
    for file in root.rglob("*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
