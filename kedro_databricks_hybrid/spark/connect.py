"""Databricks Connect: one session for a run here whose data and Spark are on Databricks."""

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

SERVERLESS = "serverless"
"""What stands for serverless compute in the place of a cluster."""

_log = logging.getLogger(__name__)
_ROOTS_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_SANDBOX_PATH = "/sandbox/connect"


@dataclass(frozen=True)
class Wish:
    """What the command line asks for, in the place of the environment's login and the settings' compute.

    Args:
        profile: Profile to log in with.
        compute: A cluster's name or id, or `serverless`.
    """

    profile: str | None = None
    compute: str | None = None


class _Run:
    """What this process runs with."""

    wish: Wish | None = None
    workspace: Workspace | None = None
    session: SparkSession | None = None


def use(chosen: Workspace | None) -> None:
    """Have this process use a workspace that is logged in to already."""
    _Run.workspace = chosen


def wish(asked: Wish) -> None:
    """Have the run of this process use Databricks Connect."""
    _Run.wish = asked


def is_asked_for() -> bool:
    """Tell whether the command line asks for Databricks Connect."""
    return _Run.wish is not None


def is_installed() -> bool:
    """Tell whether databricks-connect is in this environment."""
    try:
        metadata.version("databricks-connect")
    except metadata.PackageNotFoundError:
        return False
    return True


def session() -> SparkSession | None:
    """Return the session of this run, None before there is one."""
    return _Run.session


def workspace_of_run(profile: str | None = None) -> Workspace:
    """Return the workspace that this run uses; a profile that is named comes first.

    Raises:
        LoginError: There is no login, or it is not accepted.
    """
    if profile:
        return workspace.connect(profile)
    if _Run.workspace is None:
        asked = _Run.wish.profile if _Run.wish else None
        _Run.workspace = workspace.connect(asked or os.environ.get("DATABRICKS_CONFIG_PROFILE"))
    return _Run.workspace


def start(compute: str | None, say: Callable[[str], None]) -> SparkSession:
    """Return the session of this run, made now where there is none yet.

    A session that the project made for itself is taken as it is, where it is on the workspace that holds the
    data. Whoever in this process asks databricks-connect or Spark for a session without naming a compute, as
    kedro-datasets does, gets this one.

    Args:
        compute: What the settings say: a cluster's name or id, `serverless`, or None.
        say: Called with one line that tells where Spark runs, and at every change of a cluster's state.

    Raises:
        HybridError: There is no login or no compute, or this client does not fit it.
    """
    from pyspark.sql.connect.session import SparkSession as RemoteSession

    own: Any = RemoteSession.getActiveSession()
    if own is not None:
        if own is not _Run.session:
            _check_host(own, workspace_of_run())
            _share(own)
        return _used(own)
    there = workspace_of_run()
    wanted = (_Run.wish.compute if _Run.wish else None) or compute
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
    made = _made(config, where)
    say(f"Spark runs on {where} of {there.host}, by Databricks Connect {_client().version}")
    _share(made)
    return _used(made)


def _used(run_session: SparkSession) -> SparkSession:
    _Run.session = run_session
    return run_session


def check_shared() -> None:
    """Refuse to go on where somebody would get another session than this run's.

    Raises:
        ComputeError: The datasets would not use this run's session.
    """
    from databricks.connect import DatabricksSession
    from pyspark.sql import SparkSession

    for asked in (SparkSession.builder.getOrCreate, DatabricksSession.builder.getOrCreate):
        given = asked()
        if given is not _Run.session:
            raise _another_session("Spark datasets would use", given)


def check_data(name: str, data: object) -> None:
    """Refuse to go on with a table of another session than this run's, be it a copy on the same compute.

    Args:
        name: The dataset it was loaded from, or is being saved to.
        data: Anything; only Spark's tables, and what holds them, know their session.

    Raises:
        ComputeError: It is another session's.
    """
    if _Run.session is None:
        return
    for each in _parts(data):
        owner = _owner(each)
        if owner is not None and owner is not _Run.session:
            raise _another_session(f"Dataset {name} is a table of", owner)


def _parts(data: object) -> Iterable[object]:
    """Return the data, or what lies in them, as a partitioned dataset has it."""
    if isinstance(data, dict):
        return data.values()
    return data if isinstance(data, (list, tuple)) else (data,)


def _owner(data: object) -> object:
    """Return the session of a table, of Spark's own kind or of pandas on Spark; None for anything else."""
    if type(data).__module__.startswith("pyspark.pandas"):
        data = getattr(getattr(data, "_internal", None), "spark_frame", None)
    return getattr(data, "sparkSession", None) if type(data).__module__.startswith("pyspark.sql") else None


def _check_host(own: object, there: Workspace) -> None:
    host = getattr(getattr(own, "client", None), "host", "")
    if urlsplit(f"//{host}").hostname != urlsplit(there.host).hostname:
        raise ComputeError(
            f"The project made a Spark session of its own on {host or 'this machine'}, and the data of this "
            f"run are on {there.host}.",
            hint="Have it name no host, so that it gets the session of this run; or log in to that host.",
        )


def _another_session(what: str, other: object) -> ComputeError:
    return ComputeError(
        f"{what} another Spark session ({_place(other)}) than this run's ({_place(_Run.session)}).",
        hint="Remove what makes a session of its own: SPARK_REMOTE, or code that names a host or a compute.",
    )


def _place(session: Any) -> str:  # noqa: ANN401 - of any kind
    """Return where a session is, as far as it tells."""
    client = getattr(session, "client", None)
    if client is None:
        return "on this machine"
    headers = dict(client._builder.metadata())  # noqa: SLF001 - it tells nobody else
    serverless = "serverless compute" if "x-databricks-session-id" in headers else "no compute"
    cluster_id = headers.get("x-databricks-cluster-id")
    return f"{f'cluster {cluster_id}' if cluster_id else serverless} of {client.host}"


def _client() -> runtimes.ConnectClient:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return runtimes.ConnectClient(metadata.version("databricks-connect"), python)


def _cluster(there: Workspace, wanted: str | None, say: Callable[[str], None]) -> clusters.Cluster | None:
    """Choose a cluster, check that this client fits it, and start it; None stands for serverless compute."""
    login = there.client.config
    if wanted == SERVERLESS or (not wanted and login.serverless_compute_id):
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
    """Return a login whose compute is not chosen yet; a profile may name one, and two exclude each other."""
    copied: Config = config.copy()  # type: ignore[no-untyped-call]
    chosen = ("cluster_id", "serverless_compute_id")
    # Set to None, the SDK would take it for the text 'None'.
    copied._inner = {name: value for name, value in config._inner.items() if name not in chosen}  # noqa: SLF001
    return copied


def _made(config: Config, where: str) -> SparkSession:
    from databricks.connect import DatabricksSession

    try:
        made: SparkSession = DatabricksSession.builder.sdkConfig(config).getOrCreate()
        made.version  # noqa: B018 - the first answer of Spark itself
    except HybridError:
        raise
    # databricks-connect raises plain Exceptions, gRPC its own.
    except Exception as error:
        words = " ".join(str(error).split())
        raise ComputeError(f"Databricks Connect got no session on {where}: {words}") from error
    return made


def _share(run_session: SparkSession) -> None:
    """Give this session to everybody who asks databricks-connect for one and names nothing of his own.

    kedro-datasets asks in three ways, and none of them takes a profile or a cluster: it would get a session
    of the default login, or one on serverless compute where DATABRICKS_HOST and DATABRICKS_TOKEN are set.
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
    """Trust the certificate of this machine's workspace; gRPC reads the variable when it first connects."""
    with workspace.translated("ask the sandbox for its certificate"):
        answer = there.client.api_client.do("GET", _SANDBOX_PATH)
    os.environ[_ROOTS_VARIABLE] = str(answer["certificate"])  # type: ignore[index, call-overload, unused-ignore]
