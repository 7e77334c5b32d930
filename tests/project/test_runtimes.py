"""The table of runtimes: requirements compared with a runtime, and the databricks-connect that fits it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from kedro_databricks_hybrid.errors import ComputeError
from kedro_databricks_hybrid.project import requirements_file, runtimes
from kedro_databricks_hybrid.project.requirements_file import Listing
from kedro_databricks_hybrid.project.runtimes import (
    ConnectClient,
    Verdict,
    check_connect_to_cluster,
    check_connect_to_serverless,
)
from tests.project_fixtures import MemoryFiles

LTS = (
    "12.2.x-scala2.12", "13.3.x-scala2.12", "14.3.x-scala2.12", "15.4.x-scala2.12", "16.4.x-photon-scala2.12",
    "17.3.x-scala2.13", "18.x-scala2.13", "19.x-photon-scala2.13", "serverless-4", "serverless-5",
    "serverless-6",
)  # fmt: skip


def read(**files: str) -> Listing:
    """Read requirements.txt among these files, given without `.txt` and with `__` for a slash."""
    content = {f"{name.replace('__', '/')}.txt": text for name, text in files.items()}
    return requirements_file.read("requirements.txt", MemoryFiles(content))


def verdicts(text: str, runtime: str | None, python: str | None = None) -> dict[str, Verdict]:
    """Return the verdict of each requirement in a file."""
    judged = runtimes.judge(read(requirements=text), runtime, python)
    return {each.requirement.name: each.verdict for each in judged}


def test_lines_as_pip_reads_them() -> None:
    """Comments, continued lines, hashes, options, extras, markers, URLs and any spelling of names."""
    found = read(
        requirements=(
            "\ufeff# a comment\n--index-url https://example.com/simple\nPandas >=2.0, \\\n  <3  # for now\n"
            "typing_Extensions==4.12.2 --hash=sha256:00 --hash=sha256:11\n"
            'kedro-datasets[Spark.SparkDataset]; python_version < "3.13"\r\n'
            "thing @ https://example.com/a#egg=x\nhttps://example.com/w/Some_Lib-1.2-py3-none-any.whl\n"
            "-e .\n./folder\n"
        )
    )
    assert [each.name for each in found.requirements] == [
        "pandas", "typing-extensions", "kedro-datasets", "thing", "some-lib",
    ]  # fmt: skip
    assert found.requirements[0].specifier == "<3,>=2.0"
    assert found.requirements[1].text == "typing_Extensions==4.12.2"
    assert found.requirements[2].extras == {"spark-sparkdataset"}
    assert found.requirements[3].address == "https://example.com/a#egg=x"
    assert found.unclear == ["-e .", "./folder"]


def test_included_files_and_constraints() -> None:
    """Paths are relative to the including file, loops end, and constraints only limit versions."""
    found = read(
        requirements="-r more/a.txt\n--constraint=limits.txt\nnumpy\n-r gone.txt\n",
        more__a="-r b.txt\n-r ../requirements.txt\nscipy\n",
        more__b="pyarrow\n",
        limits="numpy<2\npyspark==3.5.0\n",
    )
    assert [(each.name, each.file) for each in found.requirements] == [
        ("pyarrow", "more/b.txt"), ("scipy", "more/a.txt"), ("numpy", "requirements.txt"),
    ]  # fmt: skip
    assert found.requirements[2].specifier == "<2"
    assert found.missing == ["gone.txt"]


@pytest.mark.parametrize(
    "line",
    ["pyspark", "pyspark==3.5.0", "databricks-connect>=15", "Delta_Spark", "kedro-datasets[spark]",
     "kedro-databricks-hybrid[sandbox]", "https://example.com/pyspark-3.5.0-py2.py3-none-any.whl"],
)  # fmt: skip
def test_what_no_runtime_may_have_replaced(line: str) -> None:
    """Spark, Delta and Databricks Connect would replace the runtime's, also if an extra brings them."""
    for runtime in (*LTS, "20.x-scala2.13", "custom:x", None):
        assert list(verdicts(f"kedro\n{line}\n", runtime).values()) == [Verdict.FINE, Verdict.REPLACES]


@pytest.mark.parametrize(
    ("key", "release", "spark", "python"),
    [
        ("11.3.x-scala2.12", "11.3", "3.3", "3.9"),
        ("17.3.x-cpu-ml-scala2.13", "17.3", "4.0", "3.12"),
        ("18.x-aarch64-photon-scala2.13", "18", "4.1", "3.12"),
        ("18.2.x-scala2.13", "18.2", "4.1", "3.12"),
        ("16.3.x-scala2.12", "16.3", None, None),
    ],
)
def test_a_runtime_by_its_key(key: str, release: str, spark: str | None, python: str | None) -> None:
    """The key of a runtime gives its release, Spark and Python; from 18 on the minor version is optional."""
    found = runtimes.find(key)
    assert found == runtimes.Runtime(release, spark, python)
    assert found.is_supported


def test_the_oldest_runtime() -> None:
    """Older runtimes than 11.3 are not supported; a custom image has no version."""
    assert runtimes.oldest_release() == "11.3"
    old = runtimes.find("10.4.x-scala2.12")
    assert old is not None
    assert not old.is_supported
    assert runtimes.find("custom:abc") is None


@pytest.mark.parametrize("runtime", LTS)
def test_what_a_runtime_brings(runtime: str) -> None:
    """A requirement that the runtime's version meets is fine; another conflicts, with the version named."""
    assert runtimes.is_known(runtime)
    assert (runtimes.source(runtime) or "").startswith("https://")
    assert verdicts("pandas\nnumpy>=1.20\nleftpad==1\n", runtime) == dict.fromkeys(
        ["pandas", "numpy", "leftpad"], Verdict.FINE
    )
    (judged,) = runtimes.judge(read(requirements="pandas>=99"), runtime)
    assert judged.verdict is Verdict.CONFLICTS
    assert judged.shipped
    assert f"own pandas {judged.shipped}" in judged.reason
    assert verdicts(f"pandas=={judged.shipped}", runtime) == {"pandas": Verdict.FINE}


@pytest.mark.parametrize(
    "runtime",
    [
        "11.3.x-scala2.12",
        "17.3.x-cpu-ml-scala2.13",
        "20.x-scala2.13",
        "19.x-sandbox-spark4.1-python3.11-scala2.13",
        None,
    ],
)
def test_a_runtime_whose_versions_are_not_known(runtime: str | None) -> None:
    """Without known package versions, every requirement is fine."""
    assert verdicts("pandas>=99", runtime) == {"pandas": Verdict.FINE}


def test_when_support_ends() -> None:
    """Support ends on the day after the last one; it is unknown for a runtime that is not in the table."""
    last = date(2026, 8, 22)
    assert runtimes.ended("13.3.x-scala2.12", last) is None
    assert runtimes.ended("13.3.x-scala2.12", last + timedelta(days=1)) == last
    assert runtimes.ended("20.x-scala2.13", last) is None


def test_the_serverless_environments() -> None:
    """All versions of serverless environments are listed, the oldest first."""
    assert runtimes.serverless_versions() == ["1", "2", "3", "4", "5", "6"]


def test_the_same_requirement_on_two_runtimes() -> None:
    """The same requirement can fit one runtime and conflict with another."""
    assert verdicts("pandas>=2,<3", "17.3.x-scala2.13") == {"pandas": Verdict.FINE}
    assert verdicts("pandas>=2,<3", "15.4.x-scala2.12") == {"pandas": Verdict.CONFLICTS}


def test_markers_speak_of_the_cluster() -> None:
    """Markers are evaluated for Linux and the runtime's Python, or the given one."""
    text = 'pandas>=99; sys_platform == "win32"\nnumpy>=99; python_version >= "3.12"\n'
    assert verdicts(text, "15.4.x-scala2.12") == {}
    assert verdicts(text, "17.3.x-scala2.13") == {"numpy": Verdict.CONFLICTS}
    assert verdicts(text, "15.4.x-scala2.12", "3.12") == {"numpy": Verdict.CONFLICTS}


@pytest.mark.parametrize(
    ("client", "runtime", "pin"),
    [
        ("16.1.7", "15.4.x-scala2.12", "databricks-connect==15.4.*"),
        ("16.4.2", "16.3.x-cpu-ml-scala2.12", "databricks-connect==16.3.*"),
        ("19.0.0", "18.x-scala2.13", "databricks-connect==18.*"),
    ],
)
def test_a_client_newer_than_the_runtime_is_refused_with_its_pin(client: str, runtime: str, pin: str) -> None:
    """A client that is newer than the runtime is refused with the pin to install."""
    with pytest.raises(ComputeError) as refused:
        check_connect_to_cluster(ConnectClient(client, "3.12"), runtime)
    assert f'pip install "{pin}"' in str(refused.value)


@pytest.mark.parametrize(
    "runtime", ["16.4.x-scala2.12", "17.3.x-scala2.13", "18.3.x-scala2.13", "custom:image"]
)
def test_an_older_client_is_fine(runtime: str) -> None:
    """A client that is not newer than the runtime, or a custom image: no error."""
    assert check_connect_to_cluster(ConnectClient("16.4.0", "3.12"), runtime) is None


def test_another_python_is_worth_a_remark() -> None:
    """Another Python version gives a warning with the pin to install."""
    remark = check_connect_to_cluster(ConnectClient("15.4.0", "3.12"), "15.4.x-scala2.12")
    assert remark is not None
    assert "Python 3.11" in remark
    assert 'pip install "databricks-connect==15.4.*"' in remark


def test_serverless_wants_a_client_that_is_new_enough() -> None:
    """Serverless compute needs databricks-connect 15.1 or newer."""
    check_connect_to_serverless(ConnectClient("15.1.0", "3.11"))
    with pytest.raises(ComputeError, match=r"databricks-connect>=15\.1"):
        check_connect_to_serverless(ConnectClient("14.3.2", "3.10"))
