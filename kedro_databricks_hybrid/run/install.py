"""Install requirements in an execution context with %pip, as the guide does."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import HybridError, RunError
from kedro_databricks_hybrid.project import own_package
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION, fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.requirements import Fit, Requirements
    from kedro_databricks_hybrid.run.context import Context

_SECRET = re.compile(r"\{\{secrets/([\w.-]+)/([\w.-]+)\}\}")
# On the driver, whose contexts and jobs share /tmp: each writes its own file, atomically.
_FILE = "/tmp/kedro-hybrid-requirements-{owner}.txt"  # noqa: S108

# The secrets become variables of the context, which %pip substitutes, as Databricks' documentation shows: no
# secret appears in the text of a command. In the user part of a URL a secret is escaped.
_FETCH = """\
import urllib.parse as _parse
_secrets = {{}}
for _name, _scope, _key, _escaped in {wanted!r}:
    _value = dbutils.secrets.get(scope=_scope, key=_key)
    globals()[_name] = _parse.quote(_value, safe="") if _escaped else _value
    _secrets[_name] = globals()[_name]
"""

_WRITE = """\
import os as _os
_draft = {file!r} + "." + str(_os.getpid())
with open(_draft, "w", encoding="utf-8") as _requirements:
    _requirements.write({text!r})
_os.replace(_draft, {file!r})
"""

_REMOVE = """\
import os as _os
_os.remove({file!r})
"""

# A failed %pip raises an error and its output is lost, so this runs pip again to get the reason.
_WHY = """\
import shlex, string, subprocess, sys
_options = string.Template({options!r}).safe_substitute(globals().get("_secrets", {{}}))
_install = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-color", "--no-input"]
_said = subprocess.run(
    [*_install, *shlex.split(_options), "-r", {path!r}],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
).stdout
for _value in globals().get("_secrets", {{}}).values():
    _said = _said.replace(_value, "[secret]")
print(_said)
"""


def install(context: Context, requirements: Requirements, say: Callable[[str], None]) -> None:
    """Install the requirements except those the runtime must keep; restart Python if pip installed anything.

    Args:
        context: A fresh context.
        requirements: The project's requirements.
        say: Called with one line for what is installed, left out, or replaces a package of the runtime.

    Raises:
        RunError: pip failed; the message holds its output.
    """
    fitting = fit(requirements, clusters.details(context.workspace, context.cluster).runtime)
    tell(fitting, requirements, say)
    put_own(context.workspace, requirements)
    say(f"Installing {requirements.path}")
    if fitting.lines is None:
        _pip(context, str(requirements.path), requirements)
        return
    file, write = _written(fitting.lines, context.context_id)
    context.run(write)
    try:
        _pip(context, file, requirements)
    finally:
        with contextlib.suppress(HybridError):
            context.run(_REMOVE.format(file=file))


def put_own(workspace: Workspace, requirements: Requirements | None) -> PurePosixPath | None:
    """Upload the wheel of this package that the requirements refer to, and return its path; None without one.

    Raises:
        WorkspaceError: Databricks refused it.
    """
    if requirements is None or requirements.own_wheel is None:
        return None
    own_package.put(workspace, requirements.own_wheel)
    return requirements.own_wheel


def tell(fitting: Fit, requirements: Requirements, say: Callable[[str], None]) -> None:
    """Report which requirements are left out, and which replace a package of the runtime."""
    if fitting.left_out:
        names = ", ".join(fitting.left_out)
        say(f"Not installed from {requirements.path.name}, as the runtime has it: {names}")
    if requirements.own_wheel:
        wheel = requirements.own_wheel
        say(f"{DISTRIBUTION} is not from a package index here, so its wheel is installed: {wheel}")
    for reason in fitting.replaced:
        say(f"Note: {reason}")


def cells(requirements: Requirements, fitting: Fit) -> list[str]:
    """Return notebook cells that install the requirements as `install` does. Pure."""
    options, wanted = _variables(requirements.pip_options)
    found = [_FETCH.format(wanted=wanted)] if wanted else []
    path = str(requirements.path)
    if fitting.lines is not None:
        digest = hashlib.sha256("\n".join(fitting.lines).encode()).hexdigest()
        path, write = _written(fitting.lines, digest[:16])
        found.append(write)
    return [*found, _command(options, path), "dbutils.library.restartPython()"]


def _written(lines: list[str], owner: str) -> tuple[str, str]:
    """Return the requirements file's path on the driver, and the code that writes it."""
    file = _FILE.format(owner=owner)
    return file, _WRITE.format(file=file, text="".join(f"{line}\n" for line in lines))


def _command(options: str, path: str) -> str:
    return f'%pip install {options} -r "{path}"'.replace("  ", " ")


def _pip(context: Context, path: str, requirements: Requirements) -> None:
    options, wanted = _variables(requirements.pip_options)
    if wanted:
        fetched = context.run(_FETCH.format(wanted=wanted))
        if not fetched.succeeded:
            raise RunError(
                f"Could not read a secret of compute.pip_options: {_last_line(fetched.text)}",
                hint="`databricks secrets list-secrets` lists the keys of a scope.",
            )
    result = context.run(f'%pip install --no-input {options} -r "{path}"'.replace("  ", " "))
    if not result.succeeded or _pip_errors(result.text):
        output = context.run(_WHY.format(options=options, path=path)).text
        reason = (
            _pip_errors(output) or _pip_errors(result.text) or ("" if wanted else _last_line(result.text))
        )
        raise RunError(
            f"pip could not install {requirements.path}: {reason or 'it gave no reason'}",
            hint="Fix the file, commit it, run `kedro databricks push` and try again.",
        )
    if "Successfully installed" in result.text or result.is_cut:
        # Without a restart, modules that the runtime has imported already stay in use.
        context.run("dbutils.library.restartPython()")
        context.wait()


def _variables(options: str) -> tuple[str, list[tuple[str, str, str, bool]]]:
    """Replace references to secrets by variables.

    Returns:
        The options, and for each variable its name, the secret's scope and key, and whether to escape it.
    """
    wanted: list[tuple[str, str, str, bool]] = []

    def variable(match: re.Match[str]) -> str:
        name = f"_pip_secret_{len(wanted)}"
        before, after = (
            _SECRET.sub("x", each) for each in (options[: match.start()], options[match.end() :])
        )
        in_user_part = bool(re.search(r"://[^/\s]*$", before)) and bool(re.match(r"[^/\s]*@", after))
        wanted.append((name, match[1], match[2], in_user_part))
        return f"${name}"

    return _SECRET.sub(variable, options), wanted


def _pip_errors(output: str) -> str:
    """Return pip's error lines as one line; empty if there are none."""
    return " ".join(line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR:"))


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
