"""Databricks Runtimes: their Spark and Python, beside what is installed here. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.doctor.finding import green, red, yellow

if TYPE_CHECKING:
    from kedro_databricks_hybrid.doctor.finding import Finding

# Spark and Python by runtime, from the release notes; from 18 on a runtime has no fixed minor number.
_KNOWN = {
    (11, 3): ("3.3", "3.9"),
    (12, 2): ("3.3", "3.9"),
    (13, 3): ("3.4", "3.10"),
    (14, 3): ("3.5", "3.10"),
    (15, 4): ("3.5", "3.11"),
    (16, 4): ("3.5", "3.12"),
    (17, 3): ("4.0", "3.12"),
    (18, 0): ("4.1", "3.12"),
    (19, 0): ("4.2", None),
}


def number(key: str) -> tuple[int, int] | None:
    """Return the numbers in a runtime's key: (17, 3) for 17.3.x-scala2.13, (18, 0) for 18.x-scala2.13."""
    match = re.match(r"(?P<major>\d+)\.(?P<minor>\d+|x)", key)
    if match is None:
        return None
    return int(match["major"]), 0 if match["minor"] == "x" else int(match["minor"])


def compare(
    runtime: tuple[int, int], shown: str, here: str, pyspark: str | None, connect: str | None
) -> Finding:
    """Compare a runtime with the Python, Spark and Databricks Connect of this machine.

    Args:
        runtime: Its numbers.
        shown: How to call it.
        here: The Python of this machine, such as 3.12.
        pyspark: The version of pyspark installed here.
        connect: The version of databricks-connect installed here.
    """
    spark, python = _KNOWN.get((runtime[0], 0 if runtime[0] >= 18 else runtime[1]), (None, None))
    pin = f"{runtime[0]}.*" if runtime[0] >= 18 else f"{runtime[0]}.{runtime[1]}.*"
    newest_connect = (runtime[0], 99 if runtime[0] >= 18 else runtime[1])
    if connect and _minor(connect) > newest_connect:
        return red(
            "runtime",
            f"databricks-connect {connect} is newer than {shown}",
            f'pip install "databricks-connect=={pin}"',
        )
    if python and python != here:
        fix = f'uv venv --python {python}, then pip install "kedro-databricks-hybrid"'
        return yellow("runtime", f"{shown} has Python {python}, and here is {here}", fix)
    if spark and pyspark and not connect and _minor(pyspark) != _minor(spark):
        fix = f'pip install "pyspark=={spark}.*"'
        return yellow("runtime", f"{shown} has Spark {spark}, and here is {pyspark}", fix)
    same = f", Python {python} and Spark {spark} as here" if python and pyspark else ""
    return green("runtime", f"{shown}{same}")


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
