"""`kedro databricks sandbox`: start, stop and reset the local workspace; its switches and faults."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli import sandbox_process
from kedro_databricks_hybrid.cli.options import Command, say, say_json
from kedro_databricks_hybrid.errors import SandboxError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.connection import Connection

FAULT_EFFECTS = (
    *("status", "delay", "reset-before", "reset-after", "truncate", "stale"),
    *("terminate-cluster", "evict-contexts", "expire-token"),
)
_KERNELS = {
    "namespace": "Its kernels are namespace kernels.",
    "portable": "Its kernels are portable: statically linked programs do not see /Workspace and /dbfs.",
    "none": "Nothing can run in it: `kedro databricks doctor` names what to install.",
}
_FAULTS_ROUTE = "/sandbox/faults"
_REQUEST_SECONDS = 30


@click.group()
def sandbox() -> None:
    """A local workspace that speaks Databricks' REST API: no account, no Docker.

    Use it with --profile=sandbox.
    """


@sandbox.command(cls=Command)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; the one it had before, or any."
)
@click.option(
    "--kernels",
    type=click.Choice(["namespace", "portable"]),
    help="How notebooks see /Workspace, /dbfs and /Volumes; by namespaces where this machine allows them.",
)
def start(port: int | None, kernels: str | None) -> None:
    """Start the sandbox; one that runs already is left alone."""
    found = sandbox_process.running()
    connection = found or sandbox_process.start(port, kernels)
    say(f"The sandbox {'is running already' if found else 'is ready'} at {connection.host}")
    say("Use it with --profile=sandbox, such as `kedro databricks push --profile=sandbox`.")


@sandbox.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print host, token and user as JSON, for any client.")
def status(as_json: bool) -> None:
    """Tell whether the sandbox runs, and where."""
    connection = sandbox_process.require_running()
    if as_json:
        say_json(_facts(connection))
    else:
        say(f"The sandbox runs at {connection.host} as process {connection.pid}, for {connection.user}.")
        say(f"Its files are in {connection.home}.")
        say(_KERNELS[connection.kernels])


@sandbox.command(cls=Command)
def stop() -> None:
    """Stop the sandbox and everything that runs in it; its files stay."""
    sandbox_process.stop(sandbox_process.require_running())
    say("The sandbox has stopped; its files stay for the next start.")


@sandbox.command(cls=Command)
@click.confirmation_option(prompt="Delete every file, Git folder and setting of the sandbox?")
def reset() -> None:
    """Stop the sandbox and delete all that it holds."""
    if connection := sandbox_process.running():
        sandbox_process.stop(connection)
    removed = sandbox_process.remove_home()
    say(f"Removed {removed}." if removed else "There is nothing to remove.")


@sandbox.command(cls=Command)
@click.option(
    "--public-dbfs-root/--no-public-dbfs-root",
    default=None,
    help="Have a DBFS root, which new workspaces have not.",
)
@click.option(
    "--uploads",
    type=click.Choice(["multipart", "resumable"]),
    help="Take large files for volumes in parts, as AWS and Azure, or in chunks, as Google's cloud.",
)
def switch(public_dbfs_root: bool | None, uploads: str | None) -> None:
    """Choose what kind of workspace the sandbox is; without an option tell which it is."""
    given = {"public-dbfs-root": public_dbfs_root, "uploads": uploads}
    chosen = {name: value for name, value in given.items() if value is not None}
    found = ask_sandbox("POST" if chosen else "GET", "/sandbox/switches", chosen or None)
    root = "has a" if found["public-dbfs-root"] else "has no"
    say(f"The sandbox {root} public DBFS root and takes {found['uploads']} uploads.")


@sandbox.group()
def fault() -> None:
    """Make the sandbox fail as clouds do; the faults end when it stops."""


@fault.command(cls=Command)
@click.argument("effect", metavar="EFFECT", type=click.Choice(FAULT_EFFECTS))
@click.option("--method", metavar="NAME", help="HTTP method of the requests; any by default.")
@click.option("--path", metavar="PATTERN", help="Their path, such as '/api/2.0/dbfs/*'; any by default.")
@click.option("--nth", type=int, help="The first of them that is struck; the next one by default.")
@click.option("--times", type=int, help="How many are struck; 1 by default, 0 for every one.")
@click.option("--rate", type=float, help="Which share of them is struck, by chance; 1 by default.")
@click.option("--seed", type=int, help="Where that chance begins: the same seed, the same failures.")
@click.option("--status", type=int, help="The HTTP status that `status` answers with; 503 by default.")
@click.option("--retry-after", type=int, help="Seconds in the header Retry-After of `status`.")
@click.option("--message", metavar="TEXT", help="The message of `status`.")
@click.option("--seconds", type=float, help="How long to wait before it happens.")
def add(**rule: Any) -> None:  # noqa: ANN401 - the options above
    """Add a fault.

    \b
    status             answer with an error, do no work
    delay              do the work later
    reset-before       reset the connection, do no work
    reset-after        do the work, reset the connection
    truncate           do the work, answer by half
    stale              read as before the last write
    terminate-cluster  end the clusters after the answer
    evict-contexts     lose all contexts after the answer
    expire-token       refuse the token from then on
    """  # noqa: D301 - click wants the character itself
    given = {name: value for name, value in rule.items() if value is not None}
    say(_line(request_faults("POST", given)))


@fault.command(name="list", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print the faults as JSON.")
def list_faults(as_json: bool) -> None:
    """List the faults, with how often each has struck."""
    found = request_faults("GET")["faults"]
    if as_json:
        say_json(found)
        return
    for one in found:
        say(_line(one))
    if not found:
        say("There are no faults.")


@fault.command(cls=Command)
@click.argument("number", type=int, required=False)
def clear(number: int | None) -> None:
    """Remove the fault of that NUMBER, or all of them."""
    request_faults("DELETE", number=number)
    say("There are no faults any more." if number is None else f"Fault {number} is removed.")


def _line(one: dict[str, Any]) -> str:
    what = f"{one['effect']} {one['status']}" if one["effect"] == "status" else one["effect"]
    return f"{one['number']}: {what} for {one['method']} {one['path']}, struck {one['struck']} times"


def _facts(connection: Connection) -> dict[str, str | int]:
    return {
        name: value if isinstance(value, int) else str(value) for name, value in asdict(connection).items()
    }


def request_faults(method: str, rule: dict[str, Any] | None = None, number: int | None = None) -> Any:  # noqa: ANN401
    """Send one request about faults and return the answer's JSON.

    Raises:
        SandboxError: No sandbox runs, or it refuses.
    """
    return ask_sandbox(method, _FAULTS_ROUTE + (f"?number={number}" if number is not None else ""), rule)


def ask_sandbox(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Send one request to the sandbox that runs and return the answer's JSON.

    Raises:
        SandboxError: No sandbox runs, or it refuses.
    """
    running = sandbox_process.require_running()
    address = f"{running.host}{path}"
    content = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(address, content, headers, method=method)  # noqa: S310 - our own host
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(asked, timeout=_REQUEST_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            said = json.load(refusal)
        raise SandboxError(str(said["message"]), hint="`--help` names the options.") from refusal
