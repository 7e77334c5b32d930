"""`kedro databricks sandbox`: start, stop and reset the local workspace; set its switches and faults."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli import sandbox_process
from kedro_databricks_hybrid.cli.options import Command, Group, json_option, say, say_json
from kedro_databricks_hybrid.errors import SandboxError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.connection import Connection

_LIKE = click.option(
    "--like",
    type=click.Choice(["guide", "standard", "free-edition"]),
    help="Kind of workspace: as in Kedro's guide (clusters and a DBFS root; the default), a standard new one "
    "(Unity Catalog, no DBFS root), or Free Edition (serverless compute only).",
)
FAULT_EFFECTS = (
    *("status", "delay", "reset-before", "reset-after", "truncate", "stale"),
    *("terminate-cluster", "evict-contexts", "expire-token"),
)
_KERNELS = {
    "namespace": "Its kernels are namespace kernels.",
    "bubblewrap": "Its kernels are namespace kernels, created by bubblewrap.",
    "portable": "Its kernels are portable: statically linked programs do not see /Workspace and /dbfs.",
    "none": "It cannot run code: `kedro databricks doctor` names what to install.",
}
_FAULTS_ROUTE = "/sandbox/faults"
SWITCHES = "/sandbox/switches"
_REQUEST_SECONDS = 30


@click.group(cls=Group)
def sandbox() -> None:
    """A local workspace that speaks Databricks' REST API: no account, no Docker.

    Use it with --profile=sandbox.
    """


@sandbox.command(cls=Command)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; by default the last one, or a free one."
)
@_LIKE
@click.option(
    "--kernels",
    type=click.Choice(["namespace", "bubblewrap", "portable"]),
    help="How notebooks see /Workspace, /dbfs and /Volumes: by Linux namespaces, which the sandbox or "
    "bubblewrap creates, or by a library that needs no privileges; by default the first that this machine "
    "allows.",
)
def start(port: int | None, like: str | None, kernels: str | None) -> None:
    """Start the sandbox; if it is already running, only apply --like."""
    found = sandbox_process.running()
    connection = found or sandbox_process.start(port, like, kernels)
    if found and like:
        ask_sandbox("POST", SWITCHES, {"like": like})
    say(f"The sandbox {'is already running' if found else 'is ready'} at {connection.host}")
    say("Use it with --profile=sandbox, such as `kedro databricks push --profile=sandbox`.")


@sandbox.command(cls=Command)
@json_option
def status(as_json: bool) -> None:
    """Print the address of the running sandbox."""
    connection = sandbox_process.require_running()
    if as_json:
        say_json(_document(connection))
    else:
        say(f"The sandbox runs at {connection.host} as process {connection.pid}, for {connection.user}.")
        say(f"Its files are in {connection.home}.")
        say(_KERNELS[connection.kernels])


@sandbox.command(cls=Command)
def stop() -> None:
    """Stop the sandbox and everything that runs in it; its files are kept."""
    sandbox_process.stop(sandbox_process.require_running())
    say("The sandbox has stopped; its files are kept for the next start.")


@sandbox.command(cls=Command)
@click.confirmation_option(prompt="Delete every file, Git folder and setting of the sandbox?")
def reset() -> None:
    """Stop the sandbox and delete its files."""
    if connection := sandbox_process.running():
        sandbox_process.stop(connection)
    removed = sandbox_process.remove_home()
    say(f"Removed {removed}." if removed else "There is nothing to remove.")


@sandbox.command(cls=Command)
@_LIKE
@click.option(
    "--public-dbfs-root/--no-public-dbfs-root",
    default=None,
    help="Have a DBFS root, which new workspaces have not.",
)
@click.option(
    "--task-environments/--no-task-environments",
    default=None,
    help="Accept environments for notebook tasks on serverless compute, which some workspaces refuse.",
)
@click.option(
    "--uploads",
    type=click.Choice(["multipart", "resumable"]),
    help="Take large files for volumes in parts, as AWS and Azure, or in chunks, as Google's cloud.",
)
def switch(**options: str | bool | None) -> None:
    """Choose what the sandbox's workspace supports; without an option, print the current choice."""
    chosen = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
    found = ask_sandbox("POST" if chosen else "GET", SWITCHES, chosen or None)
    root = "has a" if found["public-dbfs-root"] else "has no"
    say(f"The sandbox is like {found['like']}, {root} public DBFS root and takes {found['uploads']} uploads.")
    if not found["task-environments"]:
        say("It refuses an environment for notebook tasks.")


@sandbox.group(cls=Group)
def fault() -> None:
    """Inject faults into the sandbox's API; they end when it stops."""


@fault.command(cls=Command)
@click.argument("effect", metavar="EFFECT", type=click.Choice(FAULT_EFFECTS))
@click.option("--method", metavar="NAME", help="HTTP method of the requests that match; any by default.")
@click.option("--path", metavar="PATTERN", help="Their path, such as '/api/2.0/dbfs/*'; any by default.")
@click.option("--nth", type=int, help="Number of the first matching request that fails; 1 by default.")
@click.option("--times", type=int, help="How many requests fail; 1 by default, 0 for all.")
@click.option("--rate", type=float, help="Share of the requests that fail, at random; 1 by default.")
@click.option("--seed", type=int, help="Seed of the random numbers of --rate.")
@click.option("--status", type=int, help="HTTP status of the effect `status`; 503 by default.")
@click.option("--retry-after", type=int, help="Seconds in the header Retry-After of the effect `status`.")
@click.option("--message", metavar="TEXT", help="Message of the effect `status`.")
@click.option("--seconds", type=float, help="Seconds to wait before the effect.")
def add(**rule: Any) -> None:  # noqa: ANN401 - the options above
    """Add a fault.

    \b
    status             answer with an error, do not process
    delay              process the request later
    reset-before       reset the connection, do not process
    reset-after        process, then reset the connection
    truncate           process, then send half of the answer
    stale              read the state before the last write
    terminate-cluster  terminate the clusters after the answer
    evict-contexts     remove all contexts after the answer
    expire-token       refuse the token from then on
    """  # noqa: D301 - click needs the unescaped character
    given = {name: value for name, value in rule.items() if value is not None}
    say(_line(request_faults("POST", given)))


@fault.command(name="list", cls=Command)
@json_option
def list_faults(as_json: bool) -> None:
    """List the faults, with the number of requests that each has hit."""
    found = request_faults("GET")["faults"]
    if as_json:
        say_json(found)
        return
    for each in found:
        say(_line(each))
    if not found:
        say("There are no faults.")


@fault.command(cls=Command)
@click.argument("number", type=int, required=False)
def clear(number: int | None) -> None:
    """Remove the fault with that NUMBER, or all faults."""
    request_faults("DELETE", number=number)
    say("Removed all faults." if number is None else f"Removed fault {number}.")


def _line(rule: dict[str, Any]) -> str:
    effect = f"{rule['effect']} {rule['status']}" if rule["effect"] == "status" else rule["effect"]
    return f"{rule['number']}: {effect} for {rule['method']} {rule['path']}, hit {rule['struck']} times"


def _document(connection: Connection) -> dict[str, str | int]:
    return {
        name: value if isinstance(value, int) else str(value) for name, value in asdict(connection).items()
    }


def request_faults(method: str, rule: dict[str, Any] | None = None, number: int | None = None) -> Any:  # noqa: ANN401
    """Send a request for faults and return the answer's JSON.

    Raises:
        SandboxError: The sandbox is not running, or refuses the request.
    """
    return ask_sandbox(method, _FAULTS_ROUTE + (f"?number={number}" if number is not None else ""), rule)


def ask_sandbox(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Send a request to the running sandbox and return the answer's JSON.

    Raises:
        SandboxError: The sandbox is not running, or refuses the request.
    """
    running = sandbox_process.require_running()
    address = f"{running.host}{path}"
    content = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, content, headers, method=method)  # noqa: S310 - http://127.0.0.1
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(request, timeout=_REQUEST_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            answer = json.load(refusal)
        raise SandboxError(str(answer["message"]), hint="`--help` lists the options.") from refusal
