"""Install requirements in an execution context with %pip, as the guide does."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.databricks.workspace_files import put_once
from kedro_databricks_hybrid.errors import HybridError, RunError
from kedro_databricks_hybrid.project import own_package
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION, EDIT, fit
from kedro_databricks_hybrid.project.runtimes import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.requirements import Fit, Requirements
    from kedro_databricks_hybrid.run.context import Context

_SHOWN = 5
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_INSTALLED = re.compile(r"^Successfully installed (.+)$", re.MULTILINE)
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
    [*_install, "--progress-bar=off", *shlex.split(_options), "-r", {path!r}],
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
    is_installed = False
    for options, path, lines in _calls(requirements, fitting, context.context_id):
        if lines is None:
            is_installed |= _pip(context, options, path, requirements, say)
            continue
        context.run(_WRITE.format(file=path, text=_as_text(lines)))
        try:
            is_installed |= _pip(context, options, path, requirements, say)
        finally:
            with contextlib.suppress(HybridError):
                context.run(_REMOVE.format(file=path))
    if is_installed:
        # Without a restart, modules that the runtime has imported already stay in use.
        context.run("dbutils.library.restartPython()")
        context.wait()


def put_own(workspace: Workspace, requirements: Requirements | None) -> PurePosixPath | None:
    """Upload the wheel of this package that the requirements refer to, and return its path; None without one.

    Raises:
        WorkspaceError: Databricks refused it.
    """
    if requirements is None or requirements.own_wheel is None:
        return None
    own_package.put(workspace, requirements.own_wheel)
    return requirements.own_wheel


def put_lines(workspace: Workspace, lines: list[str], *, dry_run: bool = False) -> PurePosixPath:
    """Upload lines as a requirements file to the user's folder, and return its path.

    Raises:
        WorkspaceError: Databricks refused it.
    """
    content = _as_text(lines).encode()
    name = f"requirements-{hashlib.sha256(content).hexdigest()[:12]}.txt"
    path = own_package.folder(workspace) / name
    if not dry_run:
        put_once(workspace, path, lambda: content)
    return path


def tell(fitting: Fit, requirements: Requirements, say: Callable[[str], None]) -> None:
    """Report which requirements are left out, and which replace a package of the runtime."""
    if fitting.left_out:
        names = ", ".join(fitting.left_out)
        say(f"Not installed from {requirements.path.name}, as the runtime has it: {names}")
    if requirements.own_wheel:
        wheel = requirements.own_wheel
        say(f"{DISTRIBUTION} is not from a package index here, so its wheel is installed: {wheel}")
    for reason in fitting.replaced[:_SHOWN]:
        say(f"Note: {reason}")
    if len(fitting.replaced) > _SHOWN:
        say(f"Note: {len(fitting.replaced) - _SHOWN} more requirements replace packages of the runtime.")


def cells(requirements: Requirements, fitting: Fit) -> list[str]:
    """Return notebook cells that install the requirements as `install` does. Pure."""
    _, wanted = _variables(requirements.pip_options)
    found = [_FETCH.format(wanted=wanted)] if wanted else []
    owner = hashlib.sha256("\n".join([*(fitting.lines or []), *fitting.unhashed]).encode()).hexdigest()[:16]
    for options, path, lines in _calls(requirements, fitting, owner):
        if lines is not None:
            found.append(_WRITE.format(file=path, text=_as_text(lines)))
        found.append(_command(options, path))
    return [*found, "dbutils.library.restartPython()"]


def _calls(
    requirements: Requirements, fitting: Fit, owner: str
) -> Iterator[tuple[str, str, list[str] | None]]:
    """Yield the calls of pip: options, the path of the requirements file, and the lines to write to it."""
    options, _ = _variables(requirements.pip_options)
    if fitting.lines is None:
        yield options, str(requirements.path), None
        return
    options = f"--no-deps {options}".strip() if fitting.is_complete else options
    yield options, _FILE.format(owner=owner), fitting.lines
    if fitting.unhashed:
        yield options, _FILE.format(owner=f"{owner}-unhashed"), fitting.unhashed


def _as_text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _command(options: str, path: str) -> str:
    return f'%pip install {options} -r "{path}"'.replace("  ", " ")


def _pip(
    context: Context, options: str, path: str, requirements: Requirements, say: Callable[[str], None]
) -> bool:
    """Run pip; return whether it installed anything."""
    _, wanted = _variables(requirements.pip_options)
    if wanted:
        fetched = context.run(_FETCH.format(wanted=wanted))
        if not fetched.succeeded:
            raise RunError(
                f"Could not read a secret of compute.pip_options: {_last_line(fetched.text)}",
                hint="`databricks secrets list-secrets` lists the keys of a scope.",
            )
    result = context.run(_command(f"--no-input {options}", path))
    text = _plain(result.text)
    if not result.succeeded or _pip_errors(text):
        output = _plain(context.run(_WHY.format(options=options, path=path)).text)
        reason = _pip_errors(output) or _pip_errors(text) or ("" if wanted else _last_line(text))
        raise RunError(
            f"pip could not install {requirements.path}: {reason or 'it gave no reason'}",
            hint=EDIT,
        )
    installed = _INSTALLED.search(text)
    if installed and (brought := [each for each in installed[1].split() if is_own(_name(each))]):
        say(
            f"Note: a package needs {', '.join(brought)}, so pip installed it over the runtime's own: "
            "`pip show` on the cluster names that package."
        )
    return installed is not None or result.is_cut


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


def _plain(output: str) -> str:
    """Return output without escape codes, and without what a progress bar has overwritten."""
    lines = _ESCAPE.sub("", output).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _pip_errors(output: str) -> str:
    """Return pip's error lines and what a conflict is caused by, as one line; empty if there are none."""
    found: list[str] = []
    is_cause = False
    for line in map(str.strip, output.splitlines()):
        if line.startswith("ERROR:"):
            found.append(line.removeprefix("ERROR:").strip())
        elif line.startswith("The conflict is caused by:"):
            is_cause = True
        elif is_cause and line:
            found.append(f"{line.rstrip('.')}.")
        else:
            is_cause = False
    return " ".join(each for each in found if not each.startswith("ResolutionImpossible"))


def _name(installed: str) -> str:
    return canonicalize_name(installed.rpartition("-")[0])


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
