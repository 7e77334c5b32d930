"""Run every command once in each supported combination of versions, with `nox`.

`make smoke` uses every supported Python that this machine has. `make smoke SMOKE="smoke-3.12 outcome"` uses
one Python, and `make smoke SMOKE="smoke-3.12 outcome -- 1.0.0 4.2"` one kedro and one pyspark with it. At the
end, each combination has one line: SEEN (it worked), FAILED, or SKIPPED, with the reason.
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

# Combinations that cannot be installed, with the reason.
IMPOSSIBLE = {
    ("3.10", "4.3"): "pyspark 4.3 needs Python 3.11 or newer",
}
# Versions that a pyspark needs and pip does not choose by itself.
PINS = {"3.5": ("numpy<2", "pyarrow<20", "setuptools")}

FOLDER = Path(".nox").absolute()
WHEELS = FOLDER / "wheels"

# With pyenv, `python3.12` and the like work only for the versions in PYENV_VERSION.
if shutil.which("pyenv"):
    versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
    os.environ.setdefault("PYENV_VERSION", ":".join(versions.stdout.split()))


def combinations(python: str, wanted: list[str]) -> list[tuple[str, str]]:
    """Return pairs of kedro and pyspark: each version with the newest of the other, filtered by `wanted`."""
    newest = next(each for each in reversed(PYSPARK) if (python, each) not in IMPOSSIBLE)
    found = [*((each, newest) for each in KEDRO), *((KEDRO[-1], each) for each in PYSPARK if each != newest)]
    return [pair for pair in found if {*pair} >= {*wanted}]


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Run every command once, on a sandbox, with each combination of versions."""
    python = str(session.python)
    results: list[str] = []
    for kedro, pyspark in combinations(python, session.posargs):
        results.append(_result(session, python, kedro, pyspark))
        session.log(results[-1])
        _results_file(python).write_text("\n".join(results) + "\n", encoding="utf-8")
    if failed := [line for line in results if line.startswith("FAILED")]:
        session.error("; ".join(failed))


@nox.session(python=False)
def outcome(session: nox.Session) -> None:
    """Print the result of each combination, and the combinations that were not tried."""
    for python in PYTHONS:
        results = _results_file(python)
        if results.is_file():
            for line in results.read_text("utf-8").splitlines():
                session.log(line)
            results.unlink()
            continue
        for kedro, pyspark in combinations(python, session.posargs):
            name = f"Python {python}, kedro {kedro}, pyspark {pyspark}"
            session.log(f"SKIPPED {name}: no session smoke-{python} ran; is that Python installed?")


def _result(session: nox.Session, python: str, kedro: str, pyspark: str) -> str:
    """Test one combination, and return its line of the results."""
    name = f"Python {python}, kedro {kedro}, pyspark {pyspark}"
    if (python, pyspark) in IMPOSSIBLE:
        return f"SKIPPED {name}: {IMPOSSIBLE[python, pyspark]}"
    failure = "pyspark could not be built"
    try:
        _build(session, pyspark)
        failure = "the packages could not be installed"
        wanted = (f"kedro=={kedro}", f"pyspark=={pyspark}.*", *PINS.get(pyspark, ()))
        session.install(f"--find-links={WHEELS}", "-e", ".[sandbox]", *wanted)
        failure = "a command failed, see above"
        spark = ["--spark"] if kedro in {KEDRO[0], KEDRO[-1]} else []
        session.run("python", str(Path("tests", "smoke.py")), *spark)
    except nox.command.CommandFailed:
        return f"FAILED {name}: {failure}"
    return f"SEEN {name}"


def _results_file(python: str) -> Path:
    """Return the file with the results of one Python."""
    return FOLDER / f"smoke-{python}.txt"


def _build(session: nox.Session, pyspark: str) -> None:
    """Build a pyspark wheel once: it is published only as a source archive of half a gigabyte."""
    if not list(WHEELS.glob(f"pyspark-{pyspark}.*.whl")):
        build = ("pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={WHEELS}")
        session.run("uv", "tool", "run", *build, f"pyspark=={pyspark}.*", external=True)
