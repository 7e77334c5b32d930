"""Clusters: their states, and how they start and terminate."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.guesses import CLUSTER_REFUSED, WITHOUT_DBFS_MOUNT_TOO
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime, runtime_version
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "clusters"
_LOG = logging.getLogger(__name__)
_MAX_EVENTS = 500

DEFAULT_START_SECONDS = 1.0
RUNNING_ID = "0101-120000-sandbox1"
STOPPED_ID = "0101-120000-sandbox2"
# A cluster with this tag fails to start; the tag's value is the code of its termination reason.
START_FAILURE_TAG = "sandbox-start-failure"

UNEXPECTED_STATE = "Cluster {id} is in unexpected state {state}."

# Standard access mode has no FUSE mount of the DBFS root ("Standard compute requirements and limitations").
WITHOUT_DBFS_MOUNT = {"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"} | WITHOUT_DBFS_MOUNT_TOO

ONLY_SERVERLESS = "Only serverless compute is supported in the workspace."

_DEDICATED = {"SINGLE_USER", "DATA_SECURITY_MODE_DEDICATED"}
NOT_THE_SINGLE_USER = (
    "Single-user check failed: user '{user}' attempted to run a command on single-user cluster {id}, "
    "but the single user of this cluster is '{owner}'"
)

Callback = Callable[[str], Awaitable[None]]


@stored
@dataclass
class Cluster:
    """One cluster; times are milliseconds since the epoch. Each start gives it a new `spark_context_id`."""

    cluster_id: str
    cluster_name: str
    creator: str
    state: str = "PENDING"
    state_message: str = ""
    spark_version: str = field(default_factory=nearest_runtime)
    attributes: dict[str, Any] = field(default_factory=dict)
    start_time: int = 0
    terminated_time: int = 0
    spark_context_id: int = 0
    termination_reason: dict[str, Any] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def runtime_version(self) -> str:
        """DATABRICKS_RUNTIME_VERSION on this cluster: the runtime it has, not the one it was created with."""
        return runtime_version(nearest_runtime())

    @property
    def data_security_mode(self) -> str:
        """The access mode."""
        return str(self.attributes.get("data_security_mode", "SINGLE_USER"))

    @property
    def mounts_dbfs(self) -> bool:
        """Whether Python code on this cluster sees the DBFS root at /dbfs."""
        return self.data_security_mode not in WITHOUT_DBFS_MOUNT

    def refusal_of(self, user: str) -> str | None:
        """Return why a user may not run code on this cluster, None for a user who may."""
        owner = self.attributes.get("single_user_name")
        if self.data_security_mode not in _DEDICATED or owner in {None, "", user}:
            return None
        return NOT_THE_SINGLE_USER.format(user=user, id=self.cluster_id, owner=owner)

    @property
    def start_failure(self) -> str | None:
        """The code of the termination reason of a cluster that cannot start, else None."""
        tags = self.attributes.get("custom_tags")
        code = tags.get(START_FAILURE_TAG) if isinstance(tags, dict) else None
        return str(code) if code else None

    def turn(self, state: str, message: str = "", **details: object) -> None:
        """Enter a state, and add an event for it."""
        self.state = state
        self.state_message = message
        if state == "RUNNING":
            self.spark_context_id = new_id()
        event = {
            "cluster_id": self.cluster_id,
            "timestamp": now(),
            "type": _EVENT_OF_STATE.get(state, state),
            "details": {"current_num_workers": 0, "target_num_workers": 0, **details},
        }
        self.events = [*self.events, event][-_MAX_EVENTS:]


_EVENT_OF_STATE = {"PENDING": "STARTING", "TERMINATED": "TERMINATING", "TERMINATING": "TERMINATING"}


class Clusters:
    """The clusters of the workspace.

    Args:
        store: Where they are recorded.
        creator: The user who owns the first clusters.
        access_mode: The access mode of the first clusters; None if the workspace has no clusters.

    Attributes:
        start_seconds: How long a cluster stays PENDING.
    """

    def __init__(self, store: Store, *, creator: str, access_mode: str | None) -> None:
        self.start_seconds = DEFAULT_START_SECONDS
        self._store = store
        self._offered = access_mode is not None
        self._callbacks: list[Callback] = []
        self._running_callbacks: list[Callback] = []
        self._work: dict[str, asyncio.Task[None]] = {}
        self._clusters = store.load(_DOCUMENT, dict[str, Cluster])
        if self._clusters:
            self._settle()
            store.save_now(_DOCUMENT, self._as_document())
        else:
            self._add_defaults(creator)
            self.offer(access_mode)

    def offer(self, access_mode: str | None) -> None:
        """Set the access mode of the first clusters; None hides all clusters and refuses new ones."""
        self._offered = access_mode is not None
        for cluster_id in {RUNNING_ID, STOPPED_ID} & self._clusters.keys() if self._offered else ():
            self._clusters[cluster_id].attributes["data_security_mode"] = access_mode
        self._store.save_now(_DOCUMENT, self._as_document())

    def check_offered(self) -> None:
        """Refuse a new cluster if the workspace has only serverless compute."""
        if not self._offered:
            raise ApiError(*CLUSTER_REFUSED, ONLY_SERVERLESS)

    def all(self) -> list[Cluster]:
        """Return every cluster."""
        return list(self._clusters.values()) if self._offered else []

    def get(self, cluster_id: str) -> Cluster:
        """Return the cluster; refuse a missing one."""
        cluster = self.find(cluster_id)
        if cluster is None:
            raise invalid(f"Cluster {cluster_id} does not exist")
        return cluster

    def on_terminate(self, callback: Callback) -> None:
        """Call `callback` with the id of each cluster whose processes end."""
        self._callbacks.append(callback)

    def on_running(self, callback: Callback) -> None:
        """Call `callback` with the id of each cluster that reaches RUNNING."""
        self._running_callbacks.append(callback)

    def find(self, cluster_id: str) -> Cluster | None:
        """Return the cluster, None for a missing one."""
        return self._clusters.get(cluster_id) if self._offered else None

    async def create(self, name: str, creator: str, attributes: dict[str, Any]) -> Cluster:
        """Add a cluster and begin to start it; refuse if the workspace has only serverless compute."""
        self.check_offered()
        stamp = time.strftime("%m%d-%H%M%S", time.gmtime())
        cluster = Cluster(f"{stamp}-{secrets.token_hex(4)}", name, creator)
        if attributes.get("data_security_mode") in _DEDICATED:
            attributes = {**attributes, "single_user_name": attributes.get("single_user_name") or creator}
        self._apply(cluster, attributes)
        self._clusters[cluster.cluster_id] = cluster
        await self._begin_start(cluster)
        return cluster

    async def edit(self, cluster_id: str, name: str, attributes: dict[str, Any]) -> None:
        """Replace the attributes of a cluster that runs or is terminated; a running one restarts."""
        cluster = self.get(cluster_id)
        _require(cluster, "RUNNING", "TERMINATED")
        cluster.cluster_name = name
        self._apply(cluster, attributes)
        if cluster.state == "RUNNING":
            await self.restart(cluster_id)
        else:
            await self._save()

    async def start(self, cluster_id: str) -> None:
        """Begin to start a terminated cluster."""
        cluster = self.get(cluster_id)
        _require(cluster, "TERMINATED")
        await self._begin_start(cluster)

    async def restart(self, cluster_id: str) -> None:
        """Stop a running cluster's processes and begin to start it again."""
        cluster = self.get(cluster_id)
        _require(cluster, "RUNNING")
        cluster.turn("RESTARTING", "Restarting the cluster")
        self._do(cluster, self._stop_then_start(cluster))
        await self._save()

    async def terminate(self, cluster_id: str, code: str = "USER_REQUEST", kind: str = "SUCCESS") -> None:
        """Begin to terminate a cluster, unless it is terminated already."""
        cluster = self.get(cluster_id)
        if cluster.state in {"TERMINATING", "TERMINATED"}:
            return
        cluster.turn("TERMINATING", "Terminating the cluster")
        self._do(cluster, self._end(cluster, code, kind))
        await self._save()

    async def lose_instances(self) -> None:
        """Begin to terminate every running cluster, as if the cloud had reclaimed its spot instances."""
        for cluster in self.all():
            if cluster.state == "RUNNING":
                await self.terminate(cluster.cluster_id, "SPOT_INSTANCE_TERMINATION", "CLOUD_FAILURE")

    async def settled(self, cluster_id: str) -> None:
        """Wait until a cluster has reached the state that it is changing to."""
        while (work := self._work.get(cluster_id)) is not None and not work.done():
            await asyncio.wait([work])

    async def forget(self, cluster_id: str) -> None:
        """Terminate a cluster and delete it permanently."""
        cluster = self.get(cluster_id)
        del self._clusters[cluster_id]
        await self._save()
        if cluster.state != "TERMINATED":
            cluster.turn("TERMINATING")
            self._do(cluster, self._end(cluster, "USER_REQUEST", "SUCCESS"))

    def _apply(self, cluster: Cluster, attributes: dict[str, Any]) -> None:
        cluster.attributes = attributes
        cluster.spark_version = str(attributes.get("spark_version") or nearest_runtime())

    async def _begin_start(self, cluster: Cluster) -> None:
        cluster.start_time = now()
        cluster.terminated_time = 0
        cluster.termination_reason = None
        cluster.turn("PENDING", "Finding instances for new nodes, acquiring more instances if necessary")
        self._do(cluster, self._become_running(cluster))
        await self._save()

    async def _become_running(self, cluster: Cluster) -> None:
        await asyncio.sleep(self.start_seconds)
        failure = cluster.start_failure
        if failure:
            await self._end(cluster, failure, "CLOUD_FAILURE")
            return
        cluster.turn("RUNNING")
        await self._save()
        for callback in self._running_callbacks:
            await callback(cluster.cluster_id)

    async def _stop_then_start(self, cluster: Cluster) -> None:
        await self._tell(cluster)
        await self._become_running(cluster)

    async def _end(self, cluster: Cluster, code: str, kind: str) -> None:
        what = "could not start" if cluster.state == "PENDING" else "was terminated"
        await self._tell(cluster)
        reason: dict[str, Any] = {"code": code, "type": kind, "parameters": {}}
        if kind == "SUCCESS":
            reason["parameters"] = {"username": cluster.creator}
        else:
            reason["parameters"] = {"databricks_error_message": f"The cluster {what}: {code}"}
        cluster.termination_reason = reason
        cluster.terminated_time = now()
        message = "" if kind == "SUCCESS" else f"The cluster {what}: {code}"
        cluster.turn("TERMINATED", message, reason=reason)
        await self._save()

    async def _tell(self, cluster: Cluster) -> None:
        told = [callback(cluster.cluster_id) for callback in self._callbacks]
        for failure in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(failure, Exception):
                _LOG.error("A context of cluster %s did not end", cluster.cluster_id, exc_info=failure)

    def _do(self, cluster: Cluster, work: Coroutine[Any, Any, None]) -> None:
        """Start the work that leads to a cluster's next state; `settled` waits for it."""
        running = self._work.pop(cluster.cluster_id, None)
        if running is not None:
            running.cancel()
        task = asyncio.get_running_loop().create_task(work)
        self._work[cluster.cluster_id] = task

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, self._as_document())

    def _as_document(self) -> dict[str, Any]:
        return {cluster.cluster_id: asdict(cluster) for cluster in self._clusters.values()}

    def _settle(self) -> None:
        """Terminate the clusters that were changing their state when the server stopped."""
        for cluster in self._clusters.values():
            if "spark_version" not in cluster.attributes:
                cluster.spark_version = nearest_runtime()  # the installed Spark may have changed
            if cluster.state not in {"RUNNING", "TERMINATED"}:
                cluster.termination_reason = {
                    "code": "COMMUNICATION_LOST",
                    "type": "CLOUD_FAILURE",
                    "parameters": {},
                }
                cluster.terminated_time = now()
                cluster.turn("TERMINATED")

    def _add_defaults(self, creator: str) -> None:
        running = Cluster(RUNNING_ID, "sandbox", creator, start_time=now())
        running.turn("RUNNING")
        stopped = Cluster(STOPPED_ID, "sandbox-stopped", creator, terminated_time=now())
        stopped.termination_reason = {
            "code": "INACTIVITY",
            "type": "SUCCESS",
            "parameters": {"inactivity_duration_min": "120"},
        }
        stopped.turn("TERMINATED")
        for cluster in (running, stopped):
            cluster.attributes = {"data_security_mode": "SINGLE_USER"}  # no single user: all may use it
            self._clusters[cluster.cluster_id] = cluster


def _require(cluster: Cluster, *states: str) -> None:
    if cluster.state not in states:
        message = UNEXPECTED_STATE.format(id=cluster.cluster_id, state=cluster.state.capitalize())
        raise ApiError(400, "INVALID_STATE", message)
