"""The versions that go together: a fast smoke of every command in each combination, with `nox`.

`nox -s smoke` runs what this machine has the Python for, and says which it skips; `nox -l` lists all.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False

KEDRO = ("1.0.0", "1.1.1", "1.2.0", "1.3.1", "1.4.0", "1.5.0", "1.6.0", "1.7.0")
PYSPARK = ("3.5", "4.0", "4.1", "4.3")
NEWEST_KEDRO, NEWEST_PYSPARK = KEDRO[-1], PYSPARK[-1]

# What a combination's dependencies do not allow, and why.
_OLD_SPARK = "pyspark 3.5 is for Python 3.8 to 3.11"
IMPOSSIBLE = {("3.12", "3.5"): _OLD_SPARK, ("3.13", "3.5"): _OLD_SPARK}
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def combinations() -> list[tuple[str, str, str]]:
    """Return Python, kedro and pyspark: every one of the two with the newest of the other."""
    kedros = [(python, kedro, NEWEST_PYSPARK) for python in PYTHONS for kedro in KEDRO]
    sparks = [(python, NEWEST_KEDRO, spark) for python in PYTHONS for spark in PYSPARK[:-1]]
    return [*kedros, *sparks]


@nox.session
@nox.parametrize(("python", "kedro", "pyspark"), combinations())
def smoke(session: nox.Session, kedro: str, pyspark: str) -> None:
    """Run every command once, on a sandbox, with these versions."""
    reason = IMPOSSIBLE.get((str(session.python), pyspark))
    if reason:
        session.skip(reason)
    old_spark = ["numpy<2", "pyarrow<20", "setuptools"] if pyspark == "3.5" else []
    session.install(
        f"kedro=={kedro}",
        f"pyspark=={pyspark}.*",
        *old_spark,
        "-e",
        ".[sandbox]",
        "pytest>=8.3",
        "pytest-timeout>=2.3",
        "httpx>=0.27",
    )
    session.run("python", str(Path("tests", "smoke.py")), env={"DO_NOT_TRACK": "1"}, silent=False)
