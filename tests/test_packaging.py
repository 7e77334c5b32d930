"""Every way of installing the package provides the starter and the commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command: object, folder: Path, **variables: str) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Use the uv cache and configuration of the real home folder, since tests change HOME."""
    import pwd

    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return {"HOME": str(home)}


def build(kind: str, folder: Path, variables: dict[str, str]) -> Path:
    """Return what to install: a built distribution, or the checkout."""
    if kind in {"checkout", "editable"}:
        return ROOT
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder]
    run(*command, folder=ROOT, **variables)
    return next(folder.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.mark.release
@pytest.mark.parametrize("kind", ["wheel", "sdist", "checkout", "editable"])
def test_a_clean_environment_gets_starter_and_commands(
    kind: str, tmp_path: Path, uv_cache: dict[str, str]
) -> None:
    """Install it with only its declared dependencies, at the pinned versions."""
    uv = Path(sys.executable).parent / "uv"
    what = build(kind, tmp_path, uv_cache)
    python = tmp_path / "env" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "env", folder=tmp_path, **uv_cache)
    pins = ROOT / "requirements" / "dev.txt"
    editable = ["--editable"] if kind == "editable" else []
    install = [uv, "pip", "install", "--quiet", "--python", python, "--constraint", pins, *editable, what]
    run(*install, folder=tmp_path, **uv_cache)
    kedro = tmp_path / "env" / "bin" / "kedro"
    run(kedro, "new", "--starter=pyspark-iris", "--name=iris-databricks", folder=tmp_path)
    project = tmp_path / "iris-databricks"
    for name in ("src/iris_databricks/nodes.py", "data/01_raw/iris.csv", "conf/local/.gitkeep", ".gitignore"):
        assert (project / name).is_file(), name
    run("git", "init", "-q", folder=project)
    assert "data/01_raw/iris.csv" in run("git", "ls-files", "--others", "--exclude-standard", folder=project)


@pytest.mark.release
def test_the_wheel_does_the_whole_workflow(tmp_path: Path, uv_cache: dict[str, str]) -> None:
    """Without access to the checkout: the starter, push, a run on the sandbox, all commands."""
    uv = Path(sys.executable).parent / "uv"
    wheel = build("wheel", tmp_path, uv_cache)
    python = tmp_path / "env" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "env", folder=tmp_path, **uv_cache)
    pins = ROOT / "requirements" / "sandbox.txt"
    install = [uv, "pip", "install", "--quiet", "--python", python, "--constraint", pins]
    run(*install, f"{wheel}[sandbox]", folder=tmp_path, **uv_cache)
    smoke = shutil.copy(ROOT / "tests" / "smoke.py", tmp_path)
    printed = run(python, "-I", smoke, folder=tmp_path)
    assert "ok  kedro databricks run" in printed


@pytest.mark.release
def test_the_source_gives_the_same_wheel(tmp_path: Path, uv_cache: dict[str, str]) -> None:
    """A wheel built from the source distribution has the same files as one built from the checkout."""
    source = build("sdist", tmp_path, uv_cache)
    shutil.unpack_archive(source, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    run(*command, tmp_path / "again", folder=unpacked, **uv_cache)
    (again,) = (tmp_path / "again").glob("*.whl")
    assert digests(again) == digests(build("wheel", tmp_path, uv_cache))


def digests(wheel: Path) -> set[str]:
    """Return the names, digests and sizes of a wheel's files from its record."""
    with ZipFile(wheel) as files:
        record = next(name for name in files.namelist() if name.endswith(".dist-info/RECORD"))
        return set(files.read(record).decode().splitlines())


def pinned(requirements: Path) -> list[str]:
    """Return the lines that pin a version, without their hashes."""
    lines = requirements.read_text("utf-8").splitlines()
    return [line.rstrip(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))]


@pytest.mark.release
@pytest.mark.parametrize("extra", ["dev", "bench", "docs", "connect", "connect-dev"])
def test_the_pins_are_current(extra: str, uv_cache: dict[str, str], tmp_path: Path) -> None:
    """Compiling pyproject.toml's requirements again changes no version."""
    pins = ROOT / "requirements" / f"{extra}.txt"
    again = tmp_path / "again.txt"
    again.write_bytes(pins.read_bytes())
    compile_again = "pip compile --quiet --universal --python-version 3.10 --generate-hashes --extra"
    uv = Path(sys.executable).parent / "uv"
    what = ["pyproject.toml", "--output-file", again]
    run(uv, *compile_again.split(), extra, *what, folder=ROOT, **uv_cache)
    assert pinned(again) == pinned(pins), "run `make lock`"


@pytest.mark.parametrize("extra", ["spark", "sandbox"])
def test_the_pins_agree(extra: str) -> None:
    """An extra's versions are the ones that the tests use."""
    ours, tested = (
        {line.partition(" ;")[0] for line in pinned(ROOT / "requirements" / f"{name}.txt")}
        for name in (extra, "dev")
    )
    assert ours <= tested


def test_no_pin_names_a_host() -> None:
    """The files name no registry, so a machine's configured registry is used."""
    for pins in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in pins.read_text("utf-8"), pins
