"""Run the project's pipelines as `kedro run` does."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .nodes import NodeEvents, measuring
from .process import forget
from .project_logging import project_logging

if TYPE_CHECKING:
    from .run_log import RunLog


def run_pipeline(request: dict[str, Any], log: RunLog) -> None:
    """Reload the project and run the request's pipelines.

    Raises:
        SystemExit: The project's code ended the run before the pipeline had completed, or with an error.
    """
    project_path = Path(request["project_path"])
    folder = request["code_folder"]
    os.chdir(project_path)
    forget(folder, request["package_name"])
    with project_logging(log, folder, request["log_folder"]), measuring() as sizes:
        from kedro.framework.project import settings, validate_settings
        from kedro.framework.startup import bootstrap_project

        metadata = bootstrap_project(project_path)
        validate_settings()
        events = NodeEvents(log, sizes)
        # Hooks of the settings are also called in a session that the project makes itself, and in processes
        # that a runner forks.
        settings.set("HOOKS", (*settings.HOOKS, events))
        request = {**request, "options": _restored(request["options"]), "run": _restored(request["run"])}
        try:
            if command := _own_command(request["package_name"], log):
                _run_command(command, request, metadata)
            else:
                _run_session(request, project_path)
        except SystemExit as error:
            if error.code or events.is_unfinished:
                raise


def _run_session(request: dict[str, Any], project_path: Path) -> None:
    """Create a session with the request's options and run it."""
    from kedro.framework.project import settings
    from kedro.framework.session import KedroSession

    options = request["options"]
    session_class: Any = getattr(settings, "SESSION_CLASS", KedroSession)
    taken = [takes(session_class, KedroSession, method) for method in ("create", "run")]
    create = {"project_path": project_path, "env": options["env"], "conf_source": options["conf_source"]}
    run = {**request["run"], "runner": make_runner(options)}
    (create if "runtime_params" in taken[0] else run)["runtime_params"] = options["params"]
    names = run.pop("pipeline_names")
    if "pipeline_names" in taken[1]:
        run["pipeline_names"] = names
    elif len(names) > 1:
        raise TypeError("The Kedro on the cluster runs one pipeline at a time; update it there.")
    else:
        run["pipeline_name"] = next(iter(names), None)
    with session_class.create(**accepted(taken[0], create)) as session:
        session.run(**accepted(taken[1], run))


def _own_command(package_name: str, log: RunLog) -> Any:  # noqa: ANN401 - click is not imported here
    """Return the command `run` of the project's cli.py, which `kedro run` would run; None if it has none."""
    name = f"{package_name}.cli"
    if importlib.util.find_spec(name) is None:
        return None
    try:
        group = getattr(importlib.import_module(name), "cli", None)
    except ModuleNotFoundError as error:  # Kedro uses its own commands then, too
        log.say(f"Kedro's own run is used, as the project's cli.py cannot be imported: {error}.")
        return None
    return getattr(group, "commands", {}).get("run")


def _run_command(command: Any, request: dict[str, Any], metadata: Any) -> None:  # noqa: ANN401
    """Call the project's own command with the request's options; the others have their defaults.

    Raises:
        TypeError: The command lacks one of the options.
        SystemExit: It ended itself.
    """
    import click

    context = click.Context(command, info_name="run", obj=metadata)
    known = {each.name: each for each in command.get_params(context) if each.expose_value}
    given = {**request["options"], **request["run"]}
    names = given.pop("pipeline_names", None) or []
    if "pipelines" in known or len(names) > 1:
        given["pipelines"] = names
    else:
        given["pipeline"] = next(iter(names), None)
    if "env" not in known and (env := given.pop("env")):
        os.environ["KEDRO_ENV"] = env
    if lacking := [name for name, value in given.items() if value and name not in known]:
        raise TypeError(f"The project's own run has no option {', '.join(lacking)}.")
    with context:
        for name, option in known.items():
            value = (
                given[name] if name in given else option.process_value(context, option.get_default(context))
            )
            is_tuple = isinstance(value, list) and (option.multiple or option.nargs != 1)
            context.params[name] = tuple(value) if is_tuple else value
        try:
            command.invoke(context)
        except click.exceptions.Exit as error:
            raise SystemExit(error.exit_code) from error


def _restored(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with their values as before they were sent: some are YAML, as JSON would change them."""
    import yaml

    return {
        name: yaml.safe_load(value["$yaml"])
        if isinstance(value, dict) and value.keys() == {"$yaml"}
        else value
        for name, value in options.items()
    }


def takes(session_class: type, base: type, method: str) -> set[str]:
    """Return the names of a method's arguments; with `**kwargs`, also those of the base class's method."""
    known = dict(inspect.signature(getattr(session_class, method)).parameters)
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values()):
        known.update(inspect.signature(getattr(base, method)).parameters)
    return set(known)


def accepted(known: set[str], options: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that this Kedro has; raise TypeError for given options that it lacks."""
    if lacking := [name for name, value in options.items() if name not in known and value]:
        raise TypeError(f"The Kedro on the cluster has no option {', '.join(lacking)}; update it there.")
    return {name: value for name, value in options.items() if name in known}


def make_runner(options: dict[str, Any]) -> object:
    """Create the runner as `kedro run` does, from a class name, by default in kedro.runner."""
    from kedro.utils import load_obj

    arguments = dict(options.get("runner_params") or {})
    if options.get("is_async"):
        arguments["is_async"] = True
    return load_obj(options.get("runner") or "SequentialRunner", "kedro.runner")(**arguments)
