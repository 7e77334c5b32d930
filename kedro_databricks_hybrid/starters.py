"""The starters of `kedro new --starter=<alias>`."""

from __future__ import annotations

from pathlib import Path

from kedro.framework.cli.starters import KedroStarterSpec


def _template() -> Path:
    """Return the template's folder: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "starter"
    return packaged if packaged.is_dir() else package.parent / "starter"


starters = [KedroStarterSpec("pyspark-iris", str(_template()))]
