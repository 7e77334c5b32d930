"""The versions that go together: a fast smoke of every command in each combination, with `nox`.

`nox -s smoke` runs what this machine has the Python for, and says which it skips; `nox -s smoke-3.12` is one
Python, and `nox -s smoke-3.12 -- 1.0.0 4.2` one kedro and one pyspark there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
KEDRO = ("1.0.0", "1.1.1", "1.2.0", "1.3.1", "1.4.0", "1.5.0", "1.6.0", "1.7.0")
PYSPARK = ("3.5", "4.0", "4.1", "4.2", "4.3")

# What a combination's dependencies do not allow, and why.
IMPOSSIBLE = {
    ("3.10", "4.3"): "pyspark 4.3 needs Python 3.11 or newer",
}
# What pip takes by itself does not go with it.
PINS = {"3.5": ("numpy<2", "pyarrow<20", "setuptools")}

WHEELS = Path(".nox", "wheels").absolute()

# pyenv's commands answer only for the versions that are named here.
if shutil.which("pyenv"):
    versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
    os.environ.setdefault("PYENV_VERSION", ":".join(versions.stdout.split()))


def combinations(python: str) -> list[tuple[str, str]]:
    """Return kedro and pyspark: every one of the two with the newest of the other."""
    newest = next(each for each in reversed(PYSPARK) if (python, each) not in IMPOSSIBLE)
    return [*((each, newest) for each in KEDRO), *((KEDRO[-1], each) for each in PYSPARK if each != newest)]


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Run every command once, on a sandbox, with each combination of versions."""
    python = str(session.python)
    failed = []
    for kedro, pyspark in combinations(python):
        if session.posargs and not {kedro, pyspark} >= set(session.posargs):
            continue
        name = f"Python {python}, kedro {kedro}, pyspark {pyspark}"
        if (python, pyspark) in IMPOSSIBLE:
            session.log(f"SKIPPED {name}: {IMPOSSIBLE[python, pyspark]}")
            continue
        try:
            _build(session, pyspark)
            wanted = (f"kedro=={kedro}", f"pyspark=={pyspark}.*", *PINS.get(pyspark, ()))
            session.install(f"--find-links={WHEELS}", "-e", ".[sandbox]", *wanted)
            spark = ["--spark"] if kedro in {KEDRO[0], KEDRO[-1]} else []
            session.run("python", str(Path("tests", "smoke.py")), *spark)
        except nox.command.CommandFailed:
            failed.append(name)
        session.log(f"{'FAILED' if name in failed else 'SEEN'} {name}")
    if failed:
        session.error("; ".join(failed))


def _build(session: nox.Session, pyspark: str) -> None:
    """Build pyspark once for all; it comes as a source archive of half a gigabyte."""
    if not list(WHEELS.glob(f"pyspark-{pyspark}.*.whl")):
        build = ("pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={WHEELS}")
        session.run("uv", "tool", "run", *build, f"pyspark=={pyspark}.*", external=True)
