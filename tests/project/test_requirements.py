"""A project's requirements, and which of them are installed on a runtime."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from kedro_databricks_hybrid.project.requirements import (
    Requirements,
    find_requirements,
    fit,
    local_requirements,
)
from kedro_databricks_hybrid.run.install import _variables

PROJECT = PurePosixPath("/Workspace/Repos/me/iris")
RUNTIME = "17.3.x-scala2.13"


def found(files: dict[str, str], pip_options: str | None = None) -> Requirements:
    """Return the requirements of a project of these files, which has some."""
    result = find_requirements(PROJECT, lambda name: (files.get(name) or "").encode() or None, pip_options)
    assert result is not None
    return result


def lines(files: dict[str, str]) -> list[str] | None:
    """Return the lines that pip installs instead of the file; None if it can read the file."""
    return fit(found(files), RUNTIME).lines


@pytest.mark.parametrize("name", ["requirements.txt", "src/requirements.txt", "requirements.lock"])
def test_a_file_that_pip_reads_itself(name: str) -> None:
    """It is given to pip as it is, wherever Kedro projects keep it."""
    requirements = found({name: "kedro\n", "pyproject.toml": '[project]\ndependencies = ["other"]\n'})
    assert requirements.path == PROJECT / name
    assert fit(requirements, RUNTIME).lines is None


def test_the_first_requirements_file_counts() -> None:
    """The project's own folder comes before src, where older projects keep it."""
    both = {"requirements.txt": b"kedro\n", "src/requirements.txt": b"pandas\n"}
    found = find_requirements(PROJECT, both.get)
    assert found is not None
    assert found.path == PROJECT / "requirements.txt"
    older = find_requirements(PROJECT, {"src/requirements.txt": b"pandas\n"}.get)
    assert older is not None
    assert older.path == PROJECT / "src" / "requirements.txt"
    assert find_requirements(PROJECT, lambda _: None) is None


def test_included_files_count_as_well() -> None:
    """A change in a file that is included with -r or -c is a change; loops end."""
    files = {"requirements.txt": b"-r deep/more.txt\n", "deep/more.txt": b"-c pins.txt\n-r more.txt\nkedro\n"}
    before = find_requirements(PROJECT, {**files, "deep/pins.txt": b"kedro==1\n"}.get)
    after = find_requirements(PROJECT, {**files, "deep/pins.txt": b"kedro==2\n"}.get)
    assert before is not None
    assert after is not None
    assert before.digest != after.digest


def test_requirements_of_the_working_tree(tmp_path: Path) -> None:
    """They are found as those of a commit are, with a path relative to the project."""
    assert local_requirements(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["kedro"]\n')
    declared = local_requirements(tmp_path)
    assert declared is not None
    assert (declared.path, declared.is_for_pip) == (PurePosixPath("pyproject.toml"), False)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "requirements.txt").write_text("-r more.txt\n")
    (tmp_path / "src" / "more.txt").write_text("tidy\n")
    listed = local_requirements(tmp_path)
    assert listed is not None
    assert (str(listed.path), listed.listing.names) == ("src/requirements.txt", {"tidy"})


def test_dependencies_of_pyproject() -> None:
    """They count where there is no requirements file."""
    pyproject = '[project]\ndependencies = ["kedro>=1.0", "tidy[extra]; python_version > \'3\'"]\n'
    assert lines({"pyproject.toml": pyproject}) == ["kedro>=1.0", 'tidy[extra]; python_version > "3"']
    nothing = find_requirements(PROJECT, {"pyproject.toml": b"[tool.kedro]\n"}.get)
    assert nothing is None


def test_a_dependency_with_an_address_stays_as_it_is_written() -> None:
    """A lock file has nothing better to say of it."""
    pyproject = '[project]\ndependencies = ["tidy @ https://example.com/tidy-1.0-py3-none-any.whl"]\n'
    locked = '[[package]]\nname = "tidy"\nversion = "1.4"\n'
    expected = ["tidy @ https://example.com/tidy-1.0-py3-none-any.whl"]
    assert lines({"pyproject.toml": pyproject}) == expected
    assert lines({"pyproject.toml": pyproject, "uv.lock": locked}) == expected


def test_a_file_that_is_no_toml_says_nothing() -> None:
    """Neither what is wanted nor at which version."""
    assert find_requirements(PROJECT, {"pyproject.toml": b"[project\n"}.get) is None
    pyproject = '[project]\ndependencies = ["tidy>=1"]\n'
    assert lines({"pyproject.toml": pyproject, "uv.lock": "<<<<<<< ours\n"}) == ["tidy>=1"]


@pytest.mark.parametrize("lock", ["uv.lock", "poetry.lock"])
def test_a_lock_file_tells_the_versions(lock: str) -> None:
    """Of what the project asks for itself; what that brings follows from it."""
    pyproject = '[project]\ndependencies = ["Tidy>=1"]\n'
    locked = '[[package]]\nname = "tidy"\nversion = "1.4"\n[[package]]\nname = "deep"\nversion = "2"\n'
    assert lines({"pyproject.toml": pyproject, lock: locked}) == ["tidy==1.4"]
    before = found({"pyproject.toml": pyproject, lock: locked})
    after = found({"pyproject.toml": pyproject, lock: locked.replace("1.4", "1.5")})
    assert before.digest != after.digest


def test_dependencies_of_poetry() -> None:
    """Poetry's version syntax is not pip's, but its lock file has the versions."""
    pyproject = '[tool.poetry.dependencies]\npython = "^3.10"\ntidy = "^1.0"\n'
    locked = '[[package]]\nname = "tidy"\nversion = "1.4"\n'
    assert lines({"pyproject.toml": pyproject, "poetry.lock": locked}) == ["tidy==1.4"]


def test_the_runtimes_own_spark_is_kept() -> None:
    """What would replace it is left out, the rest and the file's own options stay."""
    text = (
        "--extra-index-url https://example.com/simple\nkedro-datasets[spark,pandas]>=4\npyspark>=3.5\ntidy\n"
    )
    fitting = fit(found({"requirements.txt": text}), RUNTIME)
    assert fitting.lines == [
        "--extra-index-url https://example.com/simple",
        "kedro-datasets[pandas]>=4",
        "tidy",
    ]
    assert fitting.left_out == ["kedro-datasets[spark]", "pyspark>=3.5"]


def test_another_version_of_what_the_runtime_brings_is_told() -> None:
    """It is the user's choice, and installed only for this process."""
    fitting = fit(found({"requirements.txt": "pandas==1.0.0\n"}), RUNTIME)
    assert fitting.lines is None
    assert len(fitting.replaced) == 1
    assert "pandas" in fitting.replaced[0]


def test_other_options_for_pip_are_a_change() -> None:
    """A new index may have other packages."""
    files = {"requirements.txt": "kedro\n"}
    assert found(files).digest != found(files, "--pre").digest


def test_a_secret_becomes_a_variable() -> None:
    """Escaped in the user part of an address, as it is elsewhere; its value is nowhere in the options."""
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
