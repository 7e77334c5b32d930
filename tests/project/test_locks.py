"""Requirements from lock files, exported by the real uv, Poetry and PDM, and from pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.git.project_files import CommitFiles, WorkingTreeFiles
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import locks
from kedro_databricks_hybrid.project.requirements import Requirements, find_requirements, fit
from kedro_databricks_hybrid.run.compute import serverless_dependencies
from tests.project_fixtures import MemoryFiles, write_files
from tests.wheels import write_wheel

PROJECT = PurePosixPath("/Workspace/Repos/me/mono/apps/tiny")
RUNTIME = "17.3.x-scala2.13"
HASH = f"--hash=sha256:{'1' * 64}"
SHA = "0123456789" * 4

UV = """\
[project]
name = "tiny"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["kedro", "cloudpickle", "lib", "priv", "pyspark"]
[dependency-groups]
dev = ["pytest"]
[tool.uv.sources]
cloudpickle = { git = "https://git.example.com/acme/cloudpickle" }
lib = { path = "libs/lib" }
priv = { index = "private" }
[[tool.uv.index]]
name = "private"
url = "https://private.example.com/simple"
explicit = true
[[tool.uv.index]]
name = "main"
url = "https://packages.example.com/simple"
default = true
"""
LIBRARY = '[project]\nname = "lib"\nversion = "0.3"\ndependencies = []\n'


def from_index(name: str, version: str, index: str, wheel: str = f'hash = "sha256:{"1" * 64}"') -> str:
    """Return a package of uv.lock that comes from an index."""
    url = f"https://{index}.example.com"
    file = f'{{ url = "{url}/{name}-{version}-py3-none-any.whl", {wheel} }}'
    source = f'source = {{ registry = "{url}/simple" }}'
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\n{source}\nwheels = [{file}]\n\n'


def uv_lock(priv: str = "") -> str:
    """Return the lock file of that project as uv writes it."""
    found = 'version = 1\nrevision = 3\nrequires-python = ">=3.10"\n\n'
    git = f'git = "https://git.example.com/acme/cloudpickle#{SHA}"'
    found += f'[[package]]\nname = "cloudpickle"\nversion = "9.0"\nsource = {{ {git} }}\n\n'
    found += '[[package]]\nname = "lib"\nversion = "0.3"\nsource = { directory = "libs/lib" }\n\n'
    for name, index in (("kedro", "packages"), ("pyspark", "packages"), ("pytest", "packages")):
        found += from_index(name, "1.0", index)
    found += priv or from_index("priv", "1.0", "private")
    names = ("cloudpickle", "kedro", "lib", "priv", "pyspark")
    found += '[[package]]\nname = "tiny"\nversion = "0.1"\nsource = { virtual = "." }\ndependencies = [\n'
    found += "".join(f'    {{ name = "{name}" }},\n' for name in names)
    found += (
        ']\n[package.dev-dependencies]\ndev = [{ name = "pytest" }]\n[package.metadata]\nrequires-dist = [\n'
    )
    wanted = {
        "cloudpickle": ', git = "https://git.example.com/acme/cloudpickle"',
        "lib": ', directory = "libs/lib"',
        "priv": ', index = "https://private.example.com/simple"',
    }
    found += "".join(f'    {{ name = "{name}"{wanted.get(name, "")} }},\n' for name in names)
    return found + ']\n[package.metadata.requires-dev]\ndev = [{ name = "pytest" }]\n'


UV_FILES = {"pyproject.toml": UV, "uv.lock": uv_lock(), "libs/lib/pyproject.toml": LIBRARY}


def found(files: locks.Copied) -> Requirements:
    """Return the project's requirements, which must exist."""
    result = find_requirements(PROJECT, files)
    assert result is not None
    return result


def refused(files: dict[str, str], *words: str) -> None:
    """Check that the requirements are refused with one line that contains these words."""
    with pytest.raises(SettingsError) as caught:
        find_requirements(PROJECT, MemoryFiles(files))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def run(folder: Path, *command: str, **variables: str) -> None:
    """Run a program of this environment in a folder."""
    program = str(Path(sys.executable).with_name(command[0])) if command[0] != "git" else "git"
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_sources_of_uv_arrive_as_they_are() -> None:
    """Export uv.lock: indexes, hashes, a folder and a Git source; no development group, no pyspark.

    pip checks no hashes of Git sources and folders, so they are installed afterwards.
    """
    wanted = found(MemoryFiles(UV_FILES))
    fitting = fit(wanted, RUNTIME)
    assert wanted.path == PROJECT / "uv.lock"
    assert fitting.lines == [
        "--require-hashes",
        "--index-url https://packages.example.com/simple",
        "--extra-index-url https://private.example.com/simple",
        "",
        f"kedro==1.0 \\\n    {HASH}",
        f"priv==1.0 \\\n    {HASH}",
        f"# pyspark==1.0 \\\n#     {HASH}",
    ]
    assert fitting.unhashed[-2:] == [
        f"{PROJECT}/libs/lib",
        f"cloudpickle @ git+https://git.example.com/acme/cloudpickle@{SHA}",
    ]
    assert "--require-hashes" not in fitting.unhashed
    assert (fitting.left_out, fitting.is_complete) == (["pyspark==1.0"], True)
    assert serverless_dependencies(wanted, "4").needs_pip


def test_the_default_index_is_left_to_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's default index is not exported, as the cluster has its own; the project's is."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://packages.example.com/simple")
    machines = MemoryFiles(
        {**UV_FILES, "pyproject.toml": UV.partition('[[tool.uv.index]]\nname = "main"')[0]}
    )
    exported = locks.export(machines, locks.UV, "uv.lock") or ""
    assert [line for line in exported.splitlines() if "index-url" in line] == [
        "--extra-index-url https://private.example.com/simple"
    ]
    own = {**machines.files, "uv.toml": b'index-url = "https://packages.example.com/simple"\n'}
    assert "\n--index-url" in "\n" + (locks.export(MemoryFiles(own), locks.UV, "uv.lock") or "")


def test_a_private_package_never_becomes_a_public_one() -> None:
    """A package without a hash and several indexes: refused, since pip could take it from any of them."""
    unhashed = uv_lock(from_index("priv", "1.0", "private", "size = 1"))
    refused({**UV_FILES, "uv.lock": unhashed}, "several indexes", "no hash of priv", "uv lock")


def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tool that reads a lock file is not installed: the error has the command that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    refused(UV_FILES, "only be read by uv, which is not installed", "pip install uv")
    poetry = {"pyproject.toml": "", "poetry.lock": ""}
    refused(poetry, "read by poetry", "pip install poetry poetry-plugin-export")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a committed uv workspace with an app, a library and local wheels."""
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "wheels", "tidy", version)
    write_wheel(tmp_path / "wheels", "deep", "1.0", ['tidy<2; python_version < "3.12"'])
    head = '[project]\nname = "tiny"\nversion = "0.1"\nrequires-python = ">=3.10"\n'
    app = f'{head}dependencies = ["lib", "deep"]\n'
    library = LIBRARY.replace("[]", "[\"tidy>1; python_version >= '3.12'\"]")
    write_files(
        tmp_path,
        {
            "pyproject.toml": (
                '[tool.uv.workspace]\nmembers = ["apps/*", "libs/*"]\n'
                '[tool.uv]\nno-index = true\nfind-links = ["./wheels"]\n'
            ),
            "apps/tiny/pyproject.toml": app + "[tool.uv.sources]\nlib = { workspace = true }\n",
            "libs/lib/pyproject.toml": library
            + '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
            "other/pyproject.toml": app.replace('"lib", ', ""),
        },
    )
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "uv", "lock", "--offline")
    run(tmp_path, "git", "add", ".")
    run(tmp_path, "git", "commit", "-q", "-m", "x")
    return tmp_path


def test_a_member_of_a_workspace(workspace: Path) -> None:
    """A workspace member uses the lock file above it, at the commit, and nothing is written."""
    project = workspace / "apps" / "tiny"
    repository = Repository(project)
    wanted = found(CommitFiles(repository, repository.head().sha))
    assert wanted.path == PROJECT.parent.parent / "uv.lock"
    assert fit(wanted, RUNTIME).lines == [
        "--find-links /Workspace/Repos/me/mono/wheels",
        "",
        "-e /Workspace/Repos/me/mono/libs/lib",
        "deep==1.0",
        "tidy==1.0 ; python_full_version < '3.12'",
        "tidy==2.0 ; python_full_version >= '3.12'",
    ]
    assert found(WorkingTreeFiles(project)).listing.names == wanted.listing.names
    assert repository.edited_paths() == []
    (project / "pyproject.toml").write_text("[project]\n")
    assert found(CommitFiles(repository, repository.head().sha)).digest == wanted.digest


def test_a_lock_file_that_is_out_of_date_is_refused(workspace: Path) -> None:
    """uv.lock is out of date: the error has the command that updates it."""
    path = workspace / "apps" / "tiny" / "pyproject.toml"
    path.write_text(path.read_text().replace('"deep"', '"deep", "tidy"'))
    with pytest.raises(
        SettingsError, match=r"^uv cannot export uv.lock: The lockfile .*`uv lock`, commit uv"
    ):
        found(WorkingTreeFiles(path.parent))


def test_a_project_beside_a_workspace(workspace: Path) -> None:
    """A project that is no workspace member does not use the lock file above it."""
    wanted = found(WorkingTreeFiles(workspace / "other"))
    assert (wanted.path, wanted.listing.names) == (PROJECT / "pyproject.toml", {"deep"})


POETRY = """\
[tool.poetry]
name = "tiny"
version = "0.1"
package-mode = false
[tool.poetry.dependencies]
python = ">=3.10,<4"
lib = { path = "libs/lib", develop = true }
tidy = { path = "wheels/tidy-1.0-py3-none-any.whl" }
[tool.poetry.group.dev.dependencies]
deep = { path = "wheels/deep-1.0-py3-none-any.whl" }
"""


@pytest.mark.processes
def test_poetry(tmp_path: Path) -> None:
    """Export poetry.lock, without development packages; a lock file that is out of date is refused."""
    for name in ("tidy", "deep"):
        write_wheel(tmp_path / "wheels", name, "1.0")
    write_files(tmp_path, {"pyproject.toml": POETRY, "libs/lib/pyproject.toml": LIBRARY})
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "poetry", "lock", "--no-interaction", POETRY_VIRTUALENVS_CREATE="false")
    wanted = found(WorkingTreeFiles(tmp_path))
    fitting = fit(wanted, RUNTIME)
    assert wanted.path == PROJECT / "poetry.lock"
    assert wanted.listing.names == {"tidy"}
    wheel = f"tidy @ file://{PROJECT}/wheels/tidy-1.0-py3-none-any.whl"
    assert [each.partition(" ;")[0] for each in fitting.lines or []] == ["--require-hashes", wheel]
    assert fitting.unhashed == [f"-e file://{PROJECT}/libs/lib"]
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(POETRY.replace("tidy", "other"))
    with pytest.raises(
        SettingsError, match=r"poetry cannot export.*changed significantly.*Run `poetry lock`"
    ):
        found(WorkingTreeFiles(tmp_path))


PDM = """\
[project]
name = "tiny"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["tidy<2", "lib @ file:///${PROJECT_ROOT}/libs/lib"]
[dependency-groups]
dev = ["deep"]
[tool.pdm]
distribution = false
[[tool.pdm.source]]
name = "pypi"
url = "file:///${PROJECT_ROOT}/wheels"
type = "find_links"
"""


@pytest.mark.processes
def test_pdm(tmp_path: Path) -> None:
    """Export pdm.lock, here without hashes; a lock file that is out of date is refused."""
    for name, version in (("tidy", "1.0"), ("tidy", "2.0"), ("deep", "1.0")):
        write_wheel(tmp_path / "wheels", name, version)
    write_files(tmp_path, {"pyproject.toml": PDM, "libs/lib/pyproject.toml": LIBRARY})
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "pdm", "lock", PDM_USE_VENV="0", PDM_CHECK_UPDATE="0")
    wanted = found(WorkingTreeFiles(tmp_path))
    fitting = fit(wanted, RUNTIME)
    assert wanted.listing.names == {"tidy", "lib"}
    lines = {each for each in fitting.lines or [] if each and not each.startswith("#")}
    folder = f"file://{PROJECT}"
    assert lines == {f"lib @ {folder}/libs/lib", "tidy==1.0", f"--find-links {folder}/wheels"}
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(PDM.replace("tidy<2", "tidy"))
    with pytest.raises(SettingsError, match=r"pdm cannot export.*Run `pdm lock`"):
        found(WorkingTreeFiles(tmp_path))


EXTRAS = "optional-dependencies = { ml = ['b', 'tiny[x]'], x = ['c'] }\n"
SETUPTOOLS = "[tool.setuptools]\ndynamic.dependencies = { file = ['base.txt'] }\n"
HEAD = '[project]\nname = "tiny"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HEAD}dependencies = ['kedro>=1.0', 'x[e]; python_version>\"3\"']",
         ["kedro>=1.0", 'x[e]; python_version > "3"']),
        (f"{HEAD}dependencies = ['x @ https://example.com/x-1-py3-none-any.whl']",
         ["x @ https://example.com/x-1-py3-none-any.whl"]),
        (f"{HEAD}dependencies = ['x @ git+https://example.com/x@1']", ["x @ git+https://example.com/x@1"]),
        (f"{HEAD}dependencies = ['a', 'Tiny[ML]']\n{EXTRAS}",
         ["a", "b", "c"]),
        (f"{HEAD}dynamic = ['dependencies']\n{SETUPTOOLS}",
         ["d==1  # as it is"]),
        (f"{HEAD}dependencies = ['x @ file:///${{PROJECT_ROOT}}/libs/x', 'y @ {{root:uri}}/libs/y']",
         [f"x @ file://{PROJECT}/libs/x", f"y @ file://{PROJECT}/libs/y"]),
        (f"{HEAD}dynamic = ['version']\n", None),
        ("[tool.kedro]\n", None),
    ],
)  # fmt: skip
def test_pyproject_without_a_lock_file(text: str, expected: list[str] | None) -> None:
    """Dependencies of pyproject.toml become lines for pip, including the project's own extras."""
    result = find_requirements(
        PROJECT, MemoryFiles({"pyproject.toml": text, "base.txt": "d==1  # as it is\n"})
    )
    assert (result and fit(result, RUNTIME).lines) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (UV, ("[tool.uv] sources", "no uv.lock", "Run `uv lock`, commit uv.lock")),
        (POETRY, ("only poetry reads", "Run `poetry lock`, commit poetry.lock")),
        (PDM, ("[tool.pdm] source", "Run `pdm lock`, commit pdm.lock")),
        (f"{HEAD}dynamic = ['dependencies']\n", ("are dynamic", "uv pip compile pyproject.toml -o r")),
        (f"{HEAD}dependencies = ['x ^1']\n", ("pyproject.toml is invalid", "x ^1")),
        ("[project\n", ("pyproject.toml is not valid TOML", "Edit")),
    ],
)  # fmt: skip
def test_what_pip_would_install_otherwise_is_refused(text: str, words: tuple[str, ...]) -> None:
    """Sources that pip cannot read, and invalid files: the error has the command or the next step."""
    refused({"pyproject.toml": text}, *words)
