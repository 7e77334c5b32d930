"""Which paths of files from Databricks may be written locally, need consent, or are refused."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown

if TYPE_CHECKING:
    from pathlib import Path

SPELLINGS = [
    ".git",
    ".GIT",
    ".gIt",
    ".git.",
    ".git ",
    ".git . .",
    ".git::$INDEX_ALLOCATION",
    ".git:stream",
    ".Git .::$index_allocation",
    "git~1",
    "GIT~1",
    "GIT~12",
    "git~1 .",
    "git~1::$INDEX_ALLOCATION",
    ".g\u200cit",
    ".\u200fgit\ufeff",
    "\u202a.GiT",
    ".git\u206f",
    ".hg",
    ".JJ",
    ".bzr",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize(
    "path", ["{}", "{}/config", "01_raw/{}/config", "a/b/{}", "a\\{}\\config", "a/b\\{}/x"]
)
def test_a_repository_is_refused_anywhere(name: str, path: str) -> None:
    """`.git` is refused in any folder and case, and in every spelling that NTFS or macOS treats as equal."""
    assert judge(path.format(name)) is Verdict.REFUSE


def test_what_git_itself_refuses_is_refused(tmp_path: Path) -> None:
    """Of random spellings of `.git`, every one that git refuses to add to an index is refused."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    protected = ["git", "-c", "core.protectNTFS=true", "-c", "core.protectHFS=true"]
    add = ["update-index", "--add", "--index-info"]
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=tmp_path, input=b"x", capture_output=True, check=True
    )
    chosen = random.Random(25)  # noqa: S311 - the same names every time
    pieces = [".", "g", "G", "i", "I", "t", "T", "~1", " ", ":", ":$DATA", "\u200c", "\ufeff", "\\", "a", "1"]
    names = {
        "".join(chosen.choice(("", *pieces)) for _ in range(3))
        + chosen.choice((".git", ".GiT", "git~1", ".g\u200dit", ".gi", ".gitt", "gi~1"))
        + "".join(chosen.choice(("", *pieces)) for _ in range(3))
        for _ in range(300)
    }
    taken = sorted(name for name in names if judge(f"sub/{name}") is not Verdict.REFUSE)
    given = "".join(f"100644 {blob.stdout.decode().strip()}\tsub/{name}/config\n" for name in taken)
    done = subprocess.run(
        [*protected, *add], cwd=tmp_path, input=given.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert 50 < len(taken) < len(names)


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/etc/passwd", "../x", "a/../b", "a/.. /b", "a\\..\\b", "\\x", "a//b", "a\0b", "..."],
)
def test_what_leads_elsewhere_is_refused(path: str) -> None:
    """Paths that are absolute, empty or contain `..` are refused, in Unix and Windows form."""
    assert judge(path) is Verdict.REFUSE


@pytest.mark.parametrize(
    "path",
    [
        ".envrc",
        "01_raw/.ENVRC",
        ".vscode/tasks.json",
        "a/.Vscode/settings.json",
        ".vscode::$INDEX_ALLOCATION/tasks.json",
        ".idea/workspace.xml",
        "a/evil.pth",
        "a/evil.PTH.",
        "sitecustomize.py",
        "tests/conftest.py",
        "conftest.py::$DATA",
        "etc/conda/activate.d/x.sh",
        "jupyter_server_config.py",
        "x.code-workspace",
        ".Rprofile",
    ],
)
def test_start_up_files_need_consent(path: str) -> None:
    """Files that a program runs when it starts in their folder need the user's consent."""
    assert judge(path) is Verdict.ASK


@pytest.mark.parametrize(
    "path",
    [
        "01_raw/iris.csv",
        "06_models/model.pkl",
        "06_models/model.pt",
        ".gitignore",
        ".github/workflows/ci.yml",
        "a.git/x",
        "git/x",
        "digit~1",
        "02/table/part-00000-c000.snappy.parquet",
        "02/table/species=a:b/part-0",
        "02/table/._SUCCESS.crc",
        "src/tiny/pipeline.py",
        "environment.yml",
        "ä/ 中文 .csv",
    ],
)
def test_data_and_code_are_taken(path: str) -> None:
    """Ordinary files, also with similar names, are taken without asking."""
    assert judge(path) is Verdict.TAKE


def test_what_shows_nothing_is_shown() -> None:
    """Invisible and control characters in a name are printed as escapes."""
    assert shown("ä/.g\u200cit\x1b[2J\n\udcff") == "ä/.g\\u200cit\\x1b[2J\\n\\udcff"
