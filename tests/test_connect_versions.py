"""Which databricks-connect fits which runtime."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.connect_versions import Client, check_cluster, check_serverless
from kedro_databricks_hybrid.errors import ComputeError


@pytest.mark.parametrize(
    ("client", "runtime", "pin"),
    [
        ("16.1.7", "15.4.x-scala2.12", "databricks-connect==15.4.*"),
        ("16.4.2", "16.3.x-cpu-ml-scala2.12", "databricks-connect==16.3.*"),
        ("19.0.0", "18.x-scala2.13", "databricks-connect==18.*"),
    ],
)
def test_a_client_newer_than_the_runtime_is_refused_with_its_pin(client: str, runtime: str, pin: str) -> None:
    """From 18 on a runtime's key has no minor version."""
    with pytest.raises(ComputeError) as refused:
        check_cluster(Client(client, "3.12"), runtime)
    assert f'pip install "{pin}"' in str(refused.value)


@pytest.mark.parametrize(
    "runtime", ["16.4.x-scala2.12", "17.3.x-scala2.13", "18.3.x-scala2.13", "custom:image"]
)
def test_an_older_client_is_fine(runtime: str) -> None:
    """What the runtime knows of older clients, and an image whose version nobody can tell."""
    assert check_cluster(Client("16.4.0", "3.12"), runtime) is None


def test_another_python_is_worth_a_remark() -> None:
    """User-defined functions need the runtime's own minor version; nothing else does."""
    remark = check_cluster(Client("15.4.0", "3.12"), "15.4.x-scala2.12")
    assert remark is not None
    assert "Python 3.11" in remark
    assert 'pip install "databricks-connect==15.4.*"' in remark


def test_serverless_wants_a_client_that_is_new_enough() -> None:
    """From 15.1 on it does."""
    check_serverless(Client("15.1.0", "3.11"))
    with pytest.raises(ComputeError, match=r"databricks-connect>=15\.1"):
        check_serverless(Client("14.3.2", "3.10"))
