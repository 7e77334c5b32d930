"""Which environment variables describe the machine; tests of kernels and jobs check that those get them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.core.machine_variables import NAMES, PREFIXES, machine_variables
from kedro_databricks_hybrid.sandbox.repos.git import Git

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "sandbox.md"


@pytest.mark.parametrize(
    ("name", "is_the_machines"),
    [
        *((name, True) for name in ("OPENBLAS_CORETYPE", "OMP_NUM_THREADS", "https_proxy", "SSL_CERT_FILE")),
        *((name, True) for name in ("PIP_INDEX_URL", "LC_ALL", "LD_LIBRARY_PATH")),
        *((name, False) for name in ("DATABRICKS_TOKEN", "EDITOR", "MY_OPENBLAS_CORETYPE", "SSL_CERT_FILES")),
        *((name, False) for name in ("PIP_TARGET", "PYTHONPATH", "SOME_PROXY")),
    ],
)
def test_names_are_exact_or_prefixes(
    monkeypatch: pytest.MonkeyPatch, name: str, is_the_machines: bool
) -> None:
    """Variables that make pip install outside of the notebook's environment are left out."""
    monkeypatch.setenv(name, "set")
    assert (machine_variables().get(name) == "set") is is_the_machines


def test_git_gets_them_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Git gets proxies and certificates, but not the user's settings for git."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    (tmp_path / "git").mkdir()
    printed = asyncio.run(Git.below(tmp_path)("-c", "alias.variables=!env", "variables")).splitlines()
    assert "HTTP_PROXY=http://proxy.example.com:3128" in printed
    assert not [line for line in printed if line.startswith("GIT_AUTHOR_NAME=")]


@pytest.mark.parametrize("names", [sorted(NAMES), [f"{prefix}*" for prefix in PREFIXES]], ids=len)
def test_the_page_lists_them(names: Sequence[str]) -> None:
    """The page names each variable, proxies only in upper case."""
    page = _PAGE.read_text("utf-8")
    assert [name for name in names if f"`{name.upper()}`" not in page] == []
