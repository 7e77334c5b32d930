"""The project's logging configuration applies as in a local run."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.both_ways import here, request_of, there
from tests.project_fixtures import PACKAGE, Project, make_project

pytestmark = pytest.mark.processes

_NODES = """\
    import logging
    import warnings

    from kedro.pipeline import node, pipeline

    log = logging.getLogger(__name__)
    library = logging.getLogger("a_library.deep")


    def talk():
        for level in (5, 10, 20, 30, 40):
            log.log(level, "own %d", level)
            library.log(level, "library %d", level)
        warnings.warn("a warning", stacklevel=1)
        try:
            raise ValueError("not now")
        except ValueError:
            log.exception("went [bold]wrong[/bold]")
        return 1


    def register_pipelines():
        return {"__default__": pipeline([node(talk, None, "said", name="talk")])}
    """
_PLAIN = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(levelname)s|%(name)s|%(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"},
        "errors": {"class": "logging.StreamHandler", "level": "ERROR"},
    },
    "loggers": {"kedro": {"level": "WARNING"}, "a_library": {"level": "ERROR", "propagate": False}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
_LOUD = {
    **_PLAIN,
    "loggers": {"kedro": {"level": "INFO"}, PACKAGE: {"level": "DEBUG", "handlers": ["errors"]}},
}
_DISABLING = {name: value for name, value in _PLAIN.items() if name != "disable_existing_loggers"}
_RICH = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"named": {"format": "%(name)s: %(message)s"}},
    "handlers": {"rich": {"class": "kedro.logging.RichHandler", "formatter": "named", "level": "WARNING"}},
    "root": {"handlers": ["rich"], "level": "DEBUG"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make a project whose node logs at every level."""
    folder = tmp_path_factory.mktemp("logging") / "project"
    return make_project(folder).write({f"src/{PACKAGE}/pipeline_registry.py": _NODES})


CONFIGURATIONS = {"plain": _PLAIN, "loud": _LOUD, "disabling": _DISABLING, "rich": _RICH, "default": None}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_configuration_applies_as_in_a_local_run(project: Project, name: str) -> None:
    """Levels, formats and streams are those of a local run, also if the configuration changes later."""
    file = project.path / "conf/logging.yml"
    file.unlink(missing_ok=True)
    if config := CONFIGURATIONS[name]:
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
    loggers = [logging.getLogger(each) for each in ("a_library", "kedro", None)]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    remote, local = there(project), here(project)
    assert remote.out == local.out
    assert remote.err == local.err
    assert remote.log == local.log
    assert [(logger.level, logger.handlers) for logger in loggers] == before


def test_another_file_by_its_variable(project: Project) -> None:
    """KEDRO_LOGGING_CONFIG selects the file; its path is relative to the project."""
    project.write({"conf/logging.yml": "", "conf/other.yml": yaml.safe_dump(_PLAIN)})
    variables = {"KEDRO_LOGGING_CONFIG": "conf/other.yml"}
    assert there(project, variables=variables).out == here(project, **variables).out


def test_log_files(project: Project) -> None:
    """Log files with paths in the project are written beside the run log, so the Git folder stays clean."""
    handlers = {
        "inside": {"class": "logging.handlers.RotatingFileHandler", "filename": "logs/info.log"},
        "outside": {"class": "logging.FileHandler", "filename": str(project.path.parent / "outside.log")},
        "read-only": {"class": "logging.FileHandler", "filename": "/proc/self/status/x.log"},
    }
    config = {**_PLAIN, "handlers": handlers, "root": {"handlers": [*handlers], "level": "INFO"}}
    project.write({"conf/logging.yml": yaml.safe_dump(config)})
    ran = there(project)
    assert ran.completed
    assert not (project.path / "logs").exists()
    kept = project.path.parent / "root/.kedro-hybrid/runs" / ran.records[0]["run_id"] / "files/logs/info.log"
    assert "own 20" in kept.read_text("utf-8")
    assert "own 20" in (project.path.parent / "outside.log").read_text("utf-8")
    inside, read_only = ran.log
    assert "handler inside: logs/info.log lies in the code's folder, so it is kept in files/ beside" in inside
    assert "handler read-only is left out: /proc/self/status/x.log cannot be written here" in read_only


_FIRST_RUN = """
import json, logging, os, pathlib, sys
sys.stdout = open(os.devnull, "w")
exec(pathlib.Path(sys.argv[1]).read_text())
levels = [logging.root.level, len(logging.root.handlers), logging.getLogger("a_library").level]
pathlib.Path(sys.argv[2]).write_text(json.dumps(levels))
"""


def test_the_first_run_of_a_process_leaves_no_configuration(project: Project, tmp_path: Path) -> None:
    """Kedro applies the project's logging on import: after the first run, none of it is left."""
    project.write({"conf/logging.yml": yaml.safe_dump(_PLAIN)})
    command, found = tmp_path / "command.py", tmp_path / "found.json"
    command.write_text(request_of(project).as_command(), encoding="utf-8")
    subprocess.run([sys.executable, "-c", _FIRST_RUN, command, found], check=True, cwd=tmp_path)
    assert json.loads(found.read_text("utf-8")) == [logging.WARNING, 0, logging.NOTSET]
