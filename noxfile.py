"""The versions that go together: a fast smoke of every command in each combination, with `nox`.

`make smoke` runs what this machine has the Python for. `make smoke SMOKE="smoke-3.12 outcome"` is one Python,
and `make smoke SMOKE="smoke-3.12 outcome -- 1.0.0 4.2"` one kedro and one pyspark there. Of every combination
one line is said at the end: SEEN, FAILED, or SKIPPED and why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
KEDRO = ("1.0.0", "1.1.1", "1.2.0", "1.3.1", "1.4.0", "1.5.0", "1.6.0", "1.7.0")
PYSPARK = ("3.5", "4.0", "4.1", "4.2", "4.3")

# What a combination's dependencies do not allow, and why.
IMPOSSIBLE = {
    ("3.10", "4.3"): "pyspark 4.3 needs Python 3.11 or newer",
}
# What pip takes by itself does not go with it.
PINS = {"3.5": ("numpy<2", "pyarrow<20", "setuptools")}

OWN = Path(".nox").absolute()
WHEELS = OWN / "wheels"

# pyenv's commands answer only for the versions that are named here.
if shutil.which("pyenv"):
    versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
    os.environ.setdefault("PYENV_VERSION", ":".join(versions.stdout.split()))


def combinations(python: str, wanted: list[str]) -> list[tuple[str, str]]:
    """Return kedro and pyspark: every one of the two with the newest of the other, or those asked for."""
    newest = next(each for each in reversed(PYSPARK) if (python, each) not in IMPOSSIBLE)
    found = [*((each, newest) for each in KEDRO), *((KEDRO[-1], each) for each in PYSPARK if each != newest)]
    return [pair for pair in found if {*pair} >= {*wanted}]


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Run every command once, on a sandbox, with each combination of versions."""
    python = str(session.python)
    said: list[str] = []
    for kedro, pyspark in combinations(python, session.posargs):
        said.append(_line(session, python, kedro, pyspark))
        session.log(said[-1])
        _said(python).write_text("\n".join(said) + "\n", encoding="utf-8")
    if failed := [line for line in said if line.startswith("FAILED")]:
        session.error("; ".join(failed))


@nox.session(python=False)
def outcome(session: nox.Session) -> None:
    """Say of each combination whether it was seen to work, and of each Python why it was not tried."""
    for python in PYTHONS:
        if _said(python).is_file():
            for line in _said(python).read_text("utf-8").splitlines():
                session.log(line)
            _said(python).unlink()
            continue
        for kedro, pyspark in combinations(python, session.posargs):
            name = f"Python {python}, kedro {kedro}, pyspark {pyspark}"
            session.log(f"SKIPPED {name}: no session smoke-{python} ran; is that Python here?")


def _line(session: nox.Session, python: str, kedro: str, pyspark: str) -> str:
    """Try one combination, and return what is said of it."""
    name = f"Python {python}, kedro {kedro}, pyspark {pyspark}"
    if (python, pyspark) in IMPOSSIBLE:
        return f"SKIPPED {name}: {IMPOSSIBLE[python, pyspark]}"
    doing = "pyspark could not be built"
    try:
        _build(session, pyspark)
        doing = "the packages could not be installed"
        wanted = (f"kedro=={kedro}", f"pyspark=={pyspark}.*", *PINS.get(pyspark, ()))
        session.install(f"--find-links={WHEELS}", "-e", ".[sandbox]", *wanted)
        doing = "a command failed, see above"
        spark = ["--spark"] if kedro in {KEDRO[0], KEDRO[-1]} else []
        session.run("python", str(Path("tests", "smoke.py")), *spark)
    except nox.command.CommandFailed:
        return f"FAILED {name}: {doing}"
    return f"SEEN {name}"


def _said(python: str) -> Path:
    """Return the file that tells what was said of one Python's combinations."""
    return OWN / f"smoke-{python}.txt"


def _build(session: nox.Session, pyspark: str) -> None:
    """Build pyspark once for all; it comes as a source archive of half a gigabyte."""
    if not list(WHEELS.glob(f"pyspark-{pyspark}.*.whl")):
        build = ("pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={WHEELS}")
        session.run("uv", "tool", "run", *build, f"pyspark=={pyspark}.*", external=True)
