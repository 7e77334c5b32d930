"""Run the project's pipelines as `kedro run` does."""

from __future__ import annotations

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

        bootstrap_project(project_path)
        validate_settings()
        events = NodeEvents(log, sizes)
        # Hooks of the settings are also called in a session that the project makes itself, and in processes
        # that a runner forks.
        settings.set("HOOKS", (*settings.HOOKS, events))
        try:
            _run_session(request, project_path)
        except SystemExit as error:
            if error.code or events.is_unfinished:
                raise


def _run_session(request: dict[str, Any], project_path: Path) -> None:
    """Create a session with the request's options and run it."""
    from kedro.framework.project import settings
    from kedro.framework.session import KedroSession

    options = {name: _restored(value) for name, value in request["options"].items()}
    session_class: Any = getattr(settings, "SESSION_CLASS", KedroSession)
    taken = [takes(session_class, KedroSession, method) for method in ("create", "run")]
    create = {"project_path": project_path, "env": options["env"], "conf_source": options["conf_source"]}
    run = {name: _restored(value) for name, value in request["run"].items()}
    run["runner"] = make_runner(options)
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


def _restored(value: object) -> Any:  # noqa: ANN401
    """Return an option's value as it was before it was sent: some are YAML, as JSON would change them."""
    if isinstance(value, dict) and value.keys() == {"$yaml"}:
        import yaml

        return yaml.safe_load(value["$yaml"])
    return value


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
