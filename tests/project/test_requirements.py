"""Requirements files: found, read as pip reads them, and fitted to a runtime."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from kedro_databricks_hybrid.git.project_files import CommitFiles
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import requirements_file
from kedro_databricks_hybrid.project.requirements import (
    Requirements,
    conflict_with_own,
    find_requirements,
    fit,
    local_requirements,
)
from kedro_databricks_hybrid.run.compute import serverless_dependencies
from kedro_databricks_hybrid.run.install import _variables
from tests.project_fixtures import MemoryFiles, write_files

PROJECT = PurePosixPath("/Workspace/Repos/me/mono/iris")
RUNTIME = "17.3.x-scala2.13"
HASH = f"--hash=sha256:{'0' * 64}"


def found(files: Mapping[str, str | bytes], pip_options: str | None = None) -> Requirements:
    """Return the requirements of a project with these files, which must exist."""
    result = find_requirements(PROJECT, MemoryFiles(files), pip_options)
    assert result is not None
    return result


def lines(files: Mapping[str, str | bytes]) -> list[str] | None:
    """Return the lines to install in place of the file; None if pip can read the file itself."""
    return fit(found(files), RUNTIME).lines


@pytest.mark.parametrize("name", ["requirements.txt", "src/requirements.txt", "requirements.lock"])
def test_a_file_that_pip_reads_itself(name: str) -> None:
    """A requirements file is given to pip unchanged, wherever Kedro projects keep it."""
    requirements = found({name: "kedro\n", "pyproject.toml": '[project]\ndependencies = ["other"]\n'})
    assert requirements.path == PROJECT / name
    assert fit(requirements, RUNTIME).lines is None


def test_the_first_requirements_file_counts() -> None:
    """requirements.txt in the project's folder is preferred to the one in src."""
    both = {"requirements.txt": "kedro\n", "src/requirements.txt": "pandas\n"}
    assert found(both).path == PROJECT / "requirements.txt"
    assert found({"src/requirements.txt": "pandas\n"}).path == PROJECT / "src" / "requirements.txt"
    assert find_requirements(PROJECT, MemoryFiles({})) is None


INCLUDES: dict[str, str | bytes] = {
    "requirements.txt": "-r 'deep/more of it.txt'\n-e libs/x\n./wheels/y-1-py3-none-any.whl\n",
    "deep/more of it.txt": '-c../pins.txt\n--requirement "more of it.txt"\n-r ../../above/base.txt\nkedro\n',
    "pins.txt": "kedro==1\n",
    "../above/base.txt": "# -*- coding: latin-1 -*-\ntidy # Gr\u00f6\u00dfe\n".encode("latin-1"),
    "libs/x/setup.py": "one\n",
    "wheels/y-1-py3-none-any.whl": "one\n",
}


def test_code_of_an_editable_installation_is_no_change() -> None:
    """The digest ignores code of an editable installation, and includes that of another local folder."""
    for line, is_change in (("-e libs/x", False), ("./libs/x", True)):
        before, after = (
            found({"requirements.txt": line, "libs/x/setup.py": "", "libs/x/code.py": code}).digest
            for code in ("1", "2")
        )
        assert (before != after) is is_change


@pytest.mark.parametrize("name", INCLUDES)
def test_what_a_file_names_counts_as_well(name: str) -> None:
    """The digest includes files that are named: other requirements, constraints, folders and wheels."""
    before = found({**INCLUDES, "pins.txt": "kedro==1\n"})
    content = INCLUDES[name]
    more = content + b"\n# changed" if isinstance(content, bytes) else content + "\n# changed"
    assert found(INCLUDES).digest == before.digest
    assert found({**INCLUDES, name: more}).digest != before.digest
    assert before.listing.names == {"kedro", "tidy", "y"}


def test_requirements_of_the_working_tree(tmp_path: Path) -> None:
    """Requirements of the working tree have a path relative to the project."""
    assert local_requirements(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["kedro"]\n')
    declared = local_requirements(tmp_path)
    assert declared is not None
    assert (declared.path, declared.is_for_pip) == (PurePosixPath("pyproject.toml"), False)
    write_files(tmp_path, {"src/requirements.txt": "-r more.txt\n", "src/more.txt": "tidy\n"})
    listed = local_requirements(tmp_path)
    assert listed is not None
    assert (str(listed.path), listed.listing.names) == ("src/requirements.txt", {"tidy"})


def test_requirements_of_a_commit_in_a_monorepo(tmp_path: Path) -> None:
    """Files above the project are read from the commit, links are followed; outside is missing."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write_files(
        tmp_path, {"base.txt": "tidy\n", "iris/src/requirements.txt": "-r ../../base.txt\n-r ../../../x\n"}
    )
    (tmp_path / "iris" / "requirements.txt").symlink_to("src/requirements.txt")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=tmp_path, check=True)
    (tmp_path / "base.txt").write_text("other\n")
    repository = Repository(tmp_path / "iris")
    files = CommitFiles(repository, repository.head().sha, ("requirements.txt",))
    read = requirements_file.read("src/requirements.txt", files)
    assert (read.names, read.missing) == ({"tidy"}, ["../../x"])
    assert files.read("requirements.txt") == files.read("src/requirements.txt")
    assert files.identify("src") != files.identify("src/requirements.txt")
    assert files.identify("../..") is None


LEFT_OUT = [
    pytest.param(
        "--extra-index-url https://h/simple  # ours\n\ntidy\n-c pins.txt\n# Spark\npyspark>=3.5  # x\nzoo",
        ["--extra-index-url https://h/simple  # ours", "", "tidy", f"-c {PROJECT}/pins.txt",
         "# Spark", "# pyspark>=3.5  # x", "zoo"],
        ["pyspark>=3.5"],
        id="constraints, options, comments, order",
    ),
    pytest.param(
        f"pyspark==3.5.1 \\\n    {HASH}\ntidy==1 \\\n    {HASH}\n",
        ["--require-hashes", f"# pyspark==3.5.1 \\\n#     {HASH}", f"tidy==1 \\\n    {HASH}"],
        ["pyspark==3.5.1"],
        id="hash mode",
    ),
    pytest.param(
        "pyspark==3.5.1 " + HASH + "\ntidy==1\n",
        ["--require-hashes", f"# pyspark==3.5.1 {HASH}", "tidy==1"],
        ["pyspark==3.5.1"],
        id="hash mode by the line that is left out",
    ),
    pytest.param(
        "kedro-datasets[spark, pandas-csvdataset] >= 4 ; python_version > '3'  # all\n",
        ["kedro-datasets[pandas-csvdataset] >= 4 ; python_version > '3'  # all",
         's3fs>=2021.4; python_version > "3"'],
        ["kedro-datasets[spark]"],
        id="the rest of an extra",
    ),
    pytest.param(
        f"kedro-datasets[spark]==9 {HASH}\n",
        ["--require-hashes", f"kedro-datasets==9 {HASH}"],
        ["kedro-datasets[spark]"],
        id="an extra in hash mode, where the file lists the rest",
    ),
    pytest.param(
        "kedro-databricks-hybrid[spark]\npyspark; python_version<'3'\n",
        ["kedro-databricks-hybrid", "pyspark; python_version<'3'"],
        ["kedro-databricks-hybrid[spark]"],
        id="our own extra, for this machine; a marker that does not hold",
    ),
    pytest.param(
        "./wheels/pyspark-3.5.1-py2.py3-none-any.whl\n./wheels/tidy-1-py3-none-any.whl[x] ; os_name > 'a'\n",
        ["# ./wheels/pyspark-3.5.1-py2.py3-none-any.whl",
         f"{PROJECT}/wheels/tidy-1-py3-none-any.whl[x] ; os_name > 'a'"],
        ["./wheels/pyspark-3.5.1-py2.py3-none-any.whl"],
        id="wheels",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "left_out"), LEFT_OUT)
def test_leaving_out_the_runtimes_own_changes_nothing_else(
    text: str, expected: list[str], left_out: list[str]
) -> None:
    """Requirements that would replace the runtime's Spark are commented out; other lines stay."""
    fitting = fit(found({"requirements.txt": text, "pins.txt": "tidy==1\n"}), RUNTIME)
    assert fitting.lines == expected
    assert fitting.left_out == left_out


PATHS = {
    "-e .": f"-e {PROJECT}",
    "-e ./libs/x[extra]  # ours": f"-e '{PROJECT}/libs/x[extra]'  # ours",
    "-e file:libs/x": f"-e file://{PROJECT}/libs/x",
    "./libs/x": f"{PROJECT}/libs/x",
    "libs/x": f"{PROJECT}/libs/x",
    "../libs/x": "/Workspace/Repos/me/mono/libs/x",
    "./wheels/x-1-py3-none-any.whl": f"{PROJECT}/wheels/x-1-py3-none-any.whl",
    "x-1-py3-none-any.whl": f"{PROJECT}/x-1-py3-none-any.whl",
    "wheels/x-1.tar.gz --hash=sha256:00": f"{PROJECT}/wheels/x-1.tar.gz --hash=sha256:00",
    "x @ file:./wheels/x-1-py3-none-any.whl": f"x @ file://{PROJECT}/wheels/x-1-py3-none-any.whl",
    "file:wheels/x-1-py3-none-any.whl": f"file://{PROJECT}/wheels/x-1-py3-none-any.whl",
    "--find-links ./wheels": f"--find-links {PROJECT}/wheels",
    "-f 'the wheels'": f"--find-links '{PROJECT}/the wheels'",
    "-f beside": f"--find-links {PROJECT}/src/beside",
    "--index-url=./simple": f"--index-url {PROJECT}/simple",
}


@pytest.mark.parametrize(("line", "expected"), PATHS.items())
def test_relative_paths_are_the_projects(line: str, expected: str) -> None:
    """Relative paths become absolute, relative to the project, for pip and for serverless compute."""
    wanted = found({"src/requirements.txt": line, "src/beside/x.whl": "", "wheels/x.whl": ""})
    assert fit(wanted, RUNTIME).lines == (
        [expected] if HASH[:7] not in line else ["--require-hashes", expected]
    )
    plain = requirements_file.without_comments([expected])
    assert (serverless_dependencies(wanted, "4").lines or [])[-1:] == plain


@pytest.mark.parametrize(
    "line",
    ["/Volumes/a/b/c/x-1-py3-none-any.whl", "x @ file:///Volumes/a/x-1-py3-none-any.whl", "-f https://h/x",
     "git+https://example.com/x@1#egg=x", "x @ git+ssh://git@example.com/x", "-c pins.txt", "-r more.txt"],
)  # fmt: skip
def test_a_file_with_other_addresses_is_left_as_it_is(line: str) -> None:
    """Absolute paths, URLs and included files need no change."""
    assert lines({"requirements.txt": f"{line}\n", "pins.txt": "", "more.txt": ""}) is None


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "latin-1"]
)
def test_encodings(encoding: str) -> None:
    """The encoding follows from the byte order mark or a coding line, as in pip."""
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff", "utf-32-be": "\ufeff"}.get(encoding, "")
    first = "# -*- coding: latin-1 -*-" if encoding == "latin-1" else ""
    text = f"{mark}{first}\r\npyspark==3.5.1\r\ntidy==0.11.2  # \u00f6\r\n"
    fitting = fit(found({"requirements.txt": text.encode(encoding)}), RUNTIME)
    assert fitting.left_out == ["pyspark==3.5.1"]
    assert fitting.lines == [first, "# pyspark==3.5.1", "tidy==0.11.2  # \u00f6"]


UNCLEAR = {
    "-e .": "-e .",
    "./folder": "./folder",
    "-r https://example.com/x.txt": "-r https://example.com/x.txt",
    "-r ${FOLDER}/x.txt": "-r ${FOLDER}/x.txt",
    "-r /Volumes/a/b/c/x.txt": "-r /Volumes/a/b/c/x.txt",
    "-c https://example.com/x.txt  # theirs": "-c https://example.com/x.txt",
    "no such requirement !": "no such requirement !",
    "--no-such-option x": "--no-such-option x",
    "tidy --hash 'x": "tidy --hash 'x",
    "git+https://example.com/x": "git+https://example.com/x",
    "./x.whl ; no marker": "./x.whl ; no marker",
    "-r odd.txt": "odd.txt (its encoding)",
}


@pytest.mark.parametrize(("line", "told"), UNCLEAR.items())
def test_what_cannot_be_read_is_told(line: str, told: str) -> None:
    """Lines that cannot be read are passed to pip unchanged, and listed as unclear."""
    wanted = found({"requirements.txt": f"{line}\npyspark\n", "odd.txt": "\u00f6".encode("latin-1")})
    assert wanted.listing.unclear == [told]
    fitting = fit(wanted, RUNTIME)
    assert fitting.left_out == ["pyspark"]
    assert len(fitting.lines or []) == 2
    assert not (fitting.lines or [""])[0].startswith("#")


def test_a_file_that_is_missing_stays_named() -> None:
    """A missing included file is passed to pip, which then reports it, and listed as missing."""
    wanted = found({"requirements.txt": "-r gone.txt\npyspark\n"})
    assert wanted.listing.missing == ["gone.txt"]
    assert lines({"requirements.txt": "-r gone.txt\npyspark\n"}) == [f"-r {PROJECT}/gone.txt", "# pyspark"]


def test_another_version_of_what_the_runtime_brings_is_told() -> None:
    """Another version of a package of the runtime is installed, and listed as replaced."""
    fitting = fit(found({"requirements.txt": "pandas==1.0.0\n"}), RUNTIME)
    assert fitting.lines is None
    assert len(fitting.replaced) == 1
    assert "pandas" in fitting.replaced[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kedro==0.19.15", "requirements.txt requires kedro==0.19.15, and kedro-databricks-hybrid needs"),
        ("kedro\n-c pins.txt\n", "requires kedro~=0.19.0"),
        ("kedro>=0.19\n", None),
        ("kedro==0.19; python_version < '3'\n", None),
        ("kedro @ https://example.com/kedro.zip\n", None),
    ],
)  # fmt: skip
def test_a_conflict_with_this_package_is_seen(text: str, told: str | None) -> None:
    """A requirement that this package excludes is found without running pip."""
    read = found({"requirements.txt": text, "pins.txt": "kedro~=0.19.0\n"}).listing
    assert (told or "") in (conflict_with_own(read) or "")
    assert bool(conflict_with_own(read)) is bool(told)


def test_other_options_for_pip_are_a_change() -> None:
    """Other pip options change the digest."""
    files: dict[str, str | bytes] = {"requirements.txt": "kedro\n"}
    assert found(files).digest != found(files, "--pre").digest


def test_a_secret_becomes_a_variable() -> None:
    """Secrets in pip options become variables, which are URL-escaped in the login part of an address."""
    options = (
        "--index-url https://{{secrets/pip/user}}:{{secrets/pip/token}}@host/simple -f {{secrets/pip/url}}"
    )
    text, wanted = _variables(options)
    assert text == "--index-url https://$_pip_secret_0:$_pip_secret_1@host/simple -f $_pip_secret_2"
    assert [(scope, key, escaped) for _, scope, key, escaped in wanted] == [
        ("pip", "user", True),
        ("pip", "token", True),
        ("pip", "url", False),
    ]
