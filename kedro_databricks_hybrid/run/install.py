"""Installing requirements in an execution context, by the %pip that the guide uses too."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import HybridError, RunError
from kedro_databricks_hybrid.project.requirements import fit
from kedro_databricks_hybrid.project.scaffold import DISTRIBUTION
from kedro_databricks_hybrid.run import own_package

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.requirements import Fit, Requirements
    from kedro_databricks_hybrid.run.context import Context

_SECRET = re.compile(r"\{\{secrets/([\w.-]+)/([\w.-]+)\}\}")
# On the driver, whose contexts and jobs share one /tmp: each has a file of its own, which appears whole.
_FILE = "/tmp/kedro-hybrid-requirements-{owner}.txt"  # noqa: S108

# The secrets become variables of the context, which %pip fills in, as Databricks' own documentation has it:
# none is in the text of a command. In the user part of an address a secret is escaped.
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

# A failed %pip raises, and the output of a command that raises is lost; so pip is asked again for its reason.
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
    """Install what the runtime may have installed, and restart Python where anything was.

    Args:
        context: A fresh context.
        requirements: What the project wants.
        say: Called with a line about what is installed, what is left out and what replaces the runtime's own.

    Raises:
        RunError: pip failed; the message holds its own words.
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
    """Have the wheel of this package there that the requirements name in its place, and return its path.

    Raises:
        WorkspaceError: Databricks refused it.
    """
    if requirements is None or requirements.own_wheel is None:
        return None
    own_package.put(workspace, requirements.own_wheel)
    return requirements.own_wheel


def tell(fitting: Fit, requirements: Requirements, say: Callable[[str], None]) -> None:
    """Say what is left out of the requirements, and what replaces the runtime's own."""
    if fitting.left_out:
        say(f"Left out of {requirements.path.name}, since the runtime has it: {', '.join(fitting.left_out)}")
    if requirements.own_wheel:
        say(f"No index has this build of {DISTRIBUTION}, so its wheel is installed: {requirements.own_wheel}")
    for reason in fitting.replaced:
        say(f"Note: {reason}")


def cells(requirements: Requirements, fitting: Fit) -> list[str]:
    """Return the cells of a notebook that installs the requirements as `install` does. Pure."""
    options, wanted = _variables(requirements.pip_options)
    found = [_FETCH.format(wanted=wanted)] if wanted else []
    path = str(requirements.path)
    if fitting.lines is not None:
        digest = hashlib.sha256("\n".join(fitting.lines).encode()).hexdigest()
        path, write = _written(fitting.lines, digest[:16])
        found.append(write)
    return [*found, _command(options, path), "dbutils.library.restartPython()"]


def _written(lines: list[str], owner: str) -> tuple[str, str]:
    """Return where lines of requirements go on the driver, and the code that writes them."""
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
                f"A secret of compute.pip_options could not be read: {_last_line(fetched.text)}",
                hint="`databricks secrets list-secrets` shows what a scope holds.",
            )
    result = context.run(f'%pip install --no-input {options} -r "{path}"'.replace("  ", " "))
    if not result.succeeded or _pip_errors(result.text):
        said = context.run(_WHY.format(options=options, path=path)).text
        words = _pip_errors(said) or _pip_errors(result.text) or ("" if wanted else _last_line(result.text))
        raise RunError(
            f"pip could not install {requirements.path}: {words or 'it did not say why'}",
            hint="Mend the file, commit it, run `kedro databricks push` and try again.",
        )
    if "Successfully installed" in result.text:
        # What the runtime had imported already stays otherwise.
        context.run("dbutils.library.restartPython()")
        context.wait()


def _variables(options: str) -> tuple[str, list[tuple[str, str, str, bool]]]:
    """Put variables in the place of secrets.

    Returns:
        The options, and for each variable its name, the secret's scope and key, and whether it is escaped.
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
    """Return what pip complains of, on one line; empty where it does not."""
    return " ".join(line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR:"))


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
