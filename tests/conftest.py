"""Isolate every test from the user's environment, logins and files, and check that no process is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from kedro_databricks_hybrid.sandbox.kernel import kinds
from kedro_databricks_hybrid.transfer import files
from tests import fork_server, official_cli, spark_classes
from tests.processes import at_home_in, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SECONDS = 10.0
_OURS = ("DATABRICKS_", "KEDRO_", "SPARK_", "PYSPARK_")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the files with the slowest tests first, so that no worker gets one at the end."""
    for mark, kind in (("namespaces", kinds.NAMESPACE), ("bubblewrap", kinds.BUBBLEWRAP)):
        _leave_out(config, items, mark, partial(_refusal_of, kind))
    _leave_out(config, items, "official_cli", official_cli.refusal)
    slow = {item.path for item in items if item.get_closest_marker("processes")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that the official command line was not tested."""
    if official_cli.refusal():
        terminalreporter.write_line(official_cli.refusal())


def _refusal_of(kind: str) -> str:
    return kinds.chosen(kind).refusal


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], mark: str, refusal: Callable[[], str]
) -> None:
    """Leave out the tests with a mark if the machine refuses what they need."""
    deselected = [item for item in items if item.get_closest_marker(mark)]
    if deselected and refusal():
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set an environment with an empty home, no login, no telemetry and an identity for git."""
    home = tmp_path_factory.mktemp("home")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's `&` ignores it, for child processes too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch, _nothing_left_running(tmp_path_factory.getbasetemp()):
        for name in list(os.environ):
            if name.startswith(_OURS):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        patch.setenv("DO_NOT_TRACK", "1")
        patch.setenv("SPARK_SUBMIT_OPTS", spark_classes.java_options())
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Test")
            patch.setenv(f"GIT_{role}_EMAIL", "test@example.com")
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield home
        fork_server.close()


@contextmanager
def _nothing_left_running(folder: Path) -> Iterator[None]:
    """Fail if processes of tests are still running after every other fixture of the session has ended."""
    yield
    deadline = time.monotonic() + _SECONDS
    while left := [each for each in at_home_in(folder) if not _ends_with_us(each)]:
        if time.monotonic() > deadline:
            pytest.fail(f"Tests left running: {[[str(each.pid), *words(each)] for each in left]}")
        time.sleep(0.1)


def _ends_with_us(process: psutil.Process) -> bool:
    """Return whether a process is a zombie, or belongs to Java of a Spark session in this process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            line = [process, *process.parents()]
            return any(each.name() == "java" and each.ppid() == os.getpid() for each in line)
    return True


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file was changed in the last seconds, in which a later change can have the same time on DBFS."""
    monkeypatch.setattr(files, "_CLOCK_SKEW", -60)
