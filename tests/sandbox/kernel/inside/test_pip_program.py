"""How the environment's pip reads its arguments; kernel/test_environment.py tests installations."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedro_databricks_hybrid.sandbox.kernel.inside import pip_program
from tests.project_fixtures import write_files
from tests.sandbox.wheels import wheel

_FILES = {
    "requirements.txt": """\
        # the project's own
        --index-url https://example.com/simple
        -r more/other.txt
        -c limits.txt
        kedro[all]>=1 ; python_version > "3"  # comment
        gone; python_version < "3"
        pinned==1.0 \\
            --hash=sha256:00 \\
            --hash=sha256:11
        ${PACKAGE}~=2.0
        """,
    "more/other.txt": "numpy\n",
    "limits.txt": "numpy<3\n",
    "editable.txt": "kedro\n-e .\n",
    "wrong.txt": "kedro\n==3==\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of requirements files, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKAGE", "from-variable")
    write_files(tmp_path, _FILES)
    return tmp_path


def test_requirements_and_constraints(folder: Path) -> None:
    """From the command line and from files, which may name others; options for indexes do not matter."""
    name, content = wheel("ours", ours="")
    (folder / name).write_bytes(content)
    arguments = f"-q --no-input -i https://u:p@example.com scipy>1 -r requirements.txt {name}".split()
    options, lines = pip_program.read(arguments)
    assert list(map(str, lines.wanted)) == [
        *("scipy>1", "numpy", 'kedro[all]>=1; python_version > "3"', "pinned==1.0", "from-variable~=2.0")
    ]
    assert list(map(str, lines.constraints)) == ["numpy<3"]
    assert (options.quiet, options.upgrade, lines.is_for_pip) == (True, False, True)


@pytest.mark.parametrize(
    "arguments",
    [
        *("--target /x kedro", "--no-deps kedro", "-e .", "--force-reinstall kedro", "--user kedro", "."),
        *("-r editable.txt", "-r wrong.txt", "--requirement", "git+https://example.com/x", "--help"),
    ],
)
def test_what_only_pip_understands(folder: Path, arguments: str) -> None:
    """Arguments that only pip understands raise an error, so that pip itself gets them."""
    with pytest.raises(pip_program.UnknownError):
        pip_program.read(arguments.split())
