"""The choice of a run's compute: a cluster, a job cluster or serverless compute."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.databricks.clusters import Cluster, VisibleCluster
from kedro_databricks_hybrid.errors import ComputeError
from kedro_databricks_hybrid.project.settings import Compute
from kedro_databricks_hybrid.run.compute import Choice, choose_compute, refuse_out_of_reach
from kedro_databricks_hybrid.run.compute import ComputeOptions as Options

SMALL = VisibleCluster("1-small", "small", "RUNNING")
BIG = VisibleCluster("2-big", "big", "TERMINATED")
DESCRIBED = {"spark_version": "17.3.x-scala2.13", "num_workers": 1}


def chosen(options: Options, compute: Compute, *seen: VisibleCluster) -> tuple[bool, str, str, bool]:
    """Return whether the run is a job, the compute and its name, and whether a reason is given."""
    choice = choose_compute(options, compute, lambda: seen)
    return choice.is_job, choice.compute, choice.name, bool(choice.why)


@pytest.mark.parametrize(
    ("options", "compute", "expected"),
    [
        (Options(), Compute(), (False, "cluster", "small", False)),
        (Options(cluster="big"), Compute("small"), (False, "cluster", "big", False)),
        (Options(), Compute("2-big"), (False, "cluster", "big", False)),
        (Options(), Compute("small", DESCRIBED), (False, "cluster", "small", False)),
        (Options(job=True), Compute("small"), (True, "cluster", "small", False)),
        (Options(job=True), Compute("small", DESCRIBED), (True, "job cluster", "job cluster", False)),
        (Options(cluster="big", job=True), Compute("small", DESCRIBED), (True, "cluster", "big", False)),
        (Options(serverless=True), Compute("small"), (True, "serverless", "serverless", True)),
        (Options(serverless=True, job=True), Compute("small"), (True, "serverless", "serverless", False)),
        (Options(), Compute("serverless"), (True, "serverless", "serverless", True)),
        (Options(cluster="big"), Compute("serverless"), (False, "cluster", "big", False)),
    ],
)
def test_the_choice(options: Options, compute: Compute, expected: tuple[bool, str, str, bool]) -> None:
    """Options override the settings; if the run becomes a job without `--job`, a reason is given."""
    assert chosen(options, compute, SMALL, BIG) == expected


def test_without_a_cluster_a_described_one_is_made() -> None:
    """Without a visible cluster, the job cluster of the settings is used, and `why` explains it."""
    assert chosen(Options(), Compute(None, DESCRIBED)) == (True, "job cluster", "job cluster", True)


@pytest.mark.parametrize("options", [Options(), Options(job=True)])
@pytest.mark.parametrize("compute", [Compute(), Compute("serverless")])
def test_without_a_cluster_it_is_serverless(options: Options, compute: Compute) -> None:
    """Without a visible cluster and job cluster, serverless compute is used, and `why` explains it."""
    choice = choose_compute(options, compute, list)
    assert (choice.is_job, choice.compute) == (True, "serverless")
    assert choice.why == "You can see no all-purpose cluster, so this runs on serverless compute, as a job."


def test_a_named_cluster_is_not_replaced_by_serverless() -> None:
    """The cluster in the settings is not visible: an error, instead of serverless compute."""
    with pytest.raises(ComputeError, match="No cluster is called 'small'"):
        chosen(Options(), Compute("small"))


def test_a_cluster_that_is_not_there_is_not_replaced() -> None:
    """`--cluster` names no cluster: an error, even if the settings have a job cluster."""
    with pytest.raises(ComputeError, match="No cluster is called 'huge'"):
        chosen(Options(cluster="huge"), Compute(None, DESCRIBED), SMALL)


def test_clusters_are_asked_for_only_where_they_matter() -> None:
    """With `--serverless`, the clusters are not listed."""
    choose_compute(Options(serverless=True), Compute(), lambda: pytest.fail("asked for the clusters"))


@pytest.mark.parametrize("root", ["/Volumes/main/default/data/x", "dbfs:/Volumes/main/default/data/x"])
def test_serverless_reaches_volumes(root: str) -> None:
    """A data root in a volume, with or without `dbfs:`, is accepted for serverless compute."""
    refuse_out_of_reach(Choice(is_job=True, compute="serverless"), root)


def test_serverless_does_not_reach_dbfs() -> None:
    """A data root on DBFS is refused for serverless compute, and accepted for a cluster."""
    with pytest.raises(ComputeError, match=r"cannot reach the data root dbfs:/root/x.*--volume="):
        refuse_out_of_reach(Choice(is_job=True, compute="serverless"), "dbfs:/root/x")
    on_cluster = Choice(is_job=True, compute="cluster", cluster=Cluster("1", "small"))
    refuse_out_of_reach(on_cluster, "dbfs:/root/x")
