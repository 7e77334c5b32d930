"""Databricks Connect: one session for a local run whose data and Spark are on Databricks."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kedro_databricks_hybrid.databricks import clusters, workspace
from kedro_databricks_hybrid.errors import ComputeError, HybridError
from kedro_databricks_hybrid.project import runtimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from databricks.sdk.core import Config
    from pyspark.sql import SparkSession

    from kedro_databricks_hybrid.databricks.workspace import Workspace

_log = logging.getLogger(__name__)
_ROOTS_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_SANDBOX_PATH = "/sandbox/connect"


@dataclass(frozen=True)
class ConnectOptions:
    """The command line's options, which override the environment's login and the settings' compute.

    Args:
        profile: Profile to log in with.
        compute: A cluster's name or id, or `serverless`.
    """

    profile: str | None = None
    compute: str | None = None


class _Run:
    """The options, workspace and session of this process's run."""

    options: ConnectOptions | None = None
    workspace: Workspace | None = None
    session: SparkSession | None = None


def use(chosen: Workspace | None) -> None:
    """Use a workspace that is logged in already for this process's run."""
    _Run.workspace = chosen


def enable(options: ConnectOptions) -> None:
    """Use Databricks Connect for this process's run."""
    _Run.options = options


def is_enabled() -> bool:
    """Tell whether the command line chose Databricks Connect."""
    return _Run.options is not None


def is_installed() -> bool:
    """Tell whether databricks-connect is in this environment."""
    try:
        metadata.version("databricks-connect")
    except metadata.PackageNotFoundError:
        return False
    return True


def session() -> SparkSession | None:
    """Return the session of this run; None before it is created."""
    return _Run.session


def workspace_of_run(profile: str | None = None) -> Workspace:
    """Return the workspace of this run, or of `profile` if it is given.

    Raises:
        LoginError: No login was found, or it is not accepted.
    """
    if profile:
        return workspace.connect(profile)
    if _Run.workspace is None:
        chosen = _Run.options.profile if _Run.options else None
        _Run.workspace = workspace.connect(chosen or os.environ.get("DATABRICKS_CONFIG_PROFILE"))
    return _Run.workspace


def start(compute: str | None, say: Callable[[str], None]) -> SparkSession:
    """Return the session of this run; create it if there is none.

    A session that the project created is used unchanged if it is on the same workspace as the data. All other
    code in this process that requests a session from databricks-connect or Spark without naming a compute, as
    kedro-datasets does, gets this session.

    Args:
        compute: The cluster in the settings: a name or id, `serverless`, or None.
        say: Called with one line that says where Spark runs, and at every change of a cluster's state.

    Raises:
        HybridError: There is no login or no compute, or the installed databricks-connect does not fit it.
    """
    from pyspark.sql.connect.session import SparkSession as RemoteSession

    own: Any = RemoteSession.getActiveSession()
    if own is not None:
        if own is not _Run.session:
            _check_host(own, workspace_of_run())
            _share(own)
        return _used(own)
    there = workspace_of_run()
    wanted = (_Run.options.compute if _Run.options else None) or compute
    config = _without_compute(there.client.config)
    chosen = _cluster(there, wanted, say)
    if chosen is None:
        runtimes.check_connect_to_serverless(_client())
        config.serverless_compute_id = "auto"
        where = "serverless compute"
    else:
        config.cluster_id = chosen.cluster_id
        where = f"the cluster {chosen.name}"
    if there.is_local:
        _trust_sandbox(there)
    made = _create_session(config, where)
    say(f"Spark runs on {where} of {there.host}, by Databricks Connect {_client().version}")
    _share(made)
    return _used(made)


def _used(run_session: SparkSession) -> SparkSession:
    _Run.session = run_session
    return run_session


def check_shared() -> None:
    """Check that new requests for a session return this run's session.

    Raises:
        ComputeError: The datasets would use another session.
    """
    from databricks.connect import DatabricksSession
    from pyspark.sql import SparkSession

    for asked in (SparkSession.builder.getOrCreate, DatabricksSession.builder.getOrCreate):
        given = asked()
        if given is not _Run.session:
            raise _another_session("Spark datasets would use", given)


def check_data(name: str, data: object) -> None:
    """Check that a table belongs to this run's session, not to another one, even on the same compute.

    Args:
        name: The dataset that it was loaded from or is being saved to.
        data: Any data; only Spark tables, and lists and dicts of them, are checked.

    Raises:
        ComputeError: It belongs to another session.
    """
    if _Run.session is None:
        return
    for each in _parts(data):
        owner = _owner(each)
        if owner is not None and owner is not _Run.session:
            raise _another_session(f"Dataset {name} is a table of", owner)


def _parts(data: object) -> Iterable[object]:
    """Return the data, or the parts of a list or dict, as partitioned datasets have."""
    if isinstance(data, dict):
        return data.values()
    return data if isinstance(data, (list, tuple)) else (data,)


def _owner(data: object) -> object:
    """Return the session of a table of Spark or pandas on Spark; None for other data."""
    if type(data).__module__.startswith("pyspark.pandas"):
        data = getattr(getattr(data, "_internal", None), "spark_frame", None)
    return getattr(data, "sparkSession", None) if type(data).__module__.startswith("pyspark.sql") else None


def _check_host(own: object, there: Workspace) -> None:
    host = getattr(getattr(own, "client", None), "host", "")
    if urlsplit(f"//{host}").hostname != urlsplit(there.host).hostname:
        raise ComputeError(
            f"The project created a Spark session on {host or 'this machine'}, but this run's data are on "
            f"{there.host}.",
            hint="Do not name a host in the project's code, so that it gets this run's session, or log in to "
            "that host.",
        )


def _another_session(what: str, other: object) -> ComputeError:
    return ComputeError(
        f"{what} another Spark session ({_location(other)}) than this run's ({_location(_Run.session)}).",
        hint="Remove what creates another session: SPARK_REMOTE, or code that names a host or a compute.",
    )


def _location(session: Any) -> str:  # noqa: ANN401 - of any kind
    """Return the compute and host of a session, if it has them."""
    client = getattr(session, "client", None)
    if client is None:
        return "on this machine"
    headers = dict(client._builder.metadata())  # noqa: SLF001 - it has no public name
    serverless = "serverless compute" if "x-databricks-session-id" in headers else "no compute"
    cluster_id = headers.get("x-databricks-cluster-id")
    return f"{f'cluster {cluster_id}' if cluster_id else serverless} of {client.host}"


def _client() -> runtimes.ConnectClient:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return runtimes.ConnectClient(metadata.version("databricks-connect"), python)


def _cluster(there: Workspace, wanted: str | None, say: Callable[[str], None]) -> clusters.Cluster | None:
    """Choose a cluster, check that the installed databricks-connect fits it, and start it.

    Returns:
        The cluster; None for serverless compute.
    """
    login = there.client.config
    if wanted == clusters.SERVERLESS or (not wanted and login.serverless_compute_id):
        return None
    chosen = clusters.choose(there, wanted or login.cluster_id)
    if chosen is None:
        say(f"{clusters.NONE_VISIBLE}, so Spark runs on serverless compute.")
        return None
    remark = runtimes.check_connect_to_cluster(_client(), clusters.details(there, chosen).runtime)
    if remark:
        _log.warning(remark)
    clusters.ensure_running(there, chosen, say)
    return chosen


def _without_compute(config: Config) -> Config:
    """Return a copy of a login without its compute, as a profile's compute would conflict with the chosen."""
    copied: Config = config.copy()  # type: ignore[no-untyped-call]
    chosen = ("cluster_id", "serverless_compute_id")
    # If set to None, the SDK would use the text 'None'.
    copied._inner = {name: value for name, value in config._inner.items() if name not in chosen}  # noqa: SLF001
    return copied


def _create_session(config: Config, where: str) -> SparkSession:
    from databricks.connect import DatabricksSession

    try:
        made: SparkSession = DatabricksSession.builder.sdkConfig(config).getOrCreate()
        made.version  # noqa: B018 - the first request to Spark
    except HybridError:
        raise
    # databricks-connect raises plain Exceptions, gRPC its own.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ComputeError(f"Databricks Connect could not create a session on {where}: {reason}") from error
    return made


def _share(run_session: SparkSession) -> None:
    """Make databricks-connect return this session to all code that names no login or compute.

    kedro-datasets requests sessions in three ways, none with a profile or cluster: without this, it would get
    a session of the default login, or on serverless compute if DATABRICKS_HOST and DATABRICKS_TOKEN are set.
    """
    from databricks.connect import DatabricksSession

    builder = DatabricksSession.Builder
    original: Callable[[Any], SparkSession] = getattr(builder.getOrCreate, "original", builder.getOrCreate)

    def get_or_create(self: Any) -> SparkSession:  # noqa: ANN401
        named = ("_conn_string", "_host", "_token", "_cluster_id", "_config", "_profile")
        if any(getattr(self, name, None) for name in named):
            return original(self)
        return run_session

    get_or_create.original = original  # type: ignore[attr-defined]
    builder.getOrCreate = get_or_create  # type: ignore[method-assign, unused-ignore]


def _trust_sandbox(there: Workspace) -> None:
    """Trust the sandbox's certificate; gRPC reads the variable when it first connects."""
    with workspace.translated("get the sandbox's certificate"):
        answer = there.client.api_client.do("GET", _SANDBOX_PATH)
    os.environ[_ROOTS_VARIABLE] = str(answer["certificate"])  # type: ignore[index, call-overload, unused-ignore]
