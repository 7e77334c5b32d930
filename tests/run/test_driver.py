"""The driver program, run in this process: its log, its outcome, and what it leaves in the process."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.run.driver.nodes import size_of
from kedro_databricks_hybrid.run.driver.output import captured_output
from kedro_databricks_hybrid.run.driver.process import forget
from kedro_databricks_hybrid.run.driver.project_logging import project_logging
from kedro_databricks_hybrid.run.driver.run_log import CHUNK_BYTES, RunLog
from kedro_databricks_hybrid.run.log import Outcome
from tests.both_ways import here, records_in, there
from tests.project_fixtures import PACKAGE, make_project

pytestmark = pytest.mark.processes

_FAILING = """\
import pandas as pd
from kedro.pipeline import node, pipeline


def fail(raw: pd.DataFrame) -> pd.DataFrame:
    raise RuntimeError("no luck")


def register_pipelines():
    return {"__default__": pipeline([node(fail, "raw", "doubled", name="fail")])}
"""


def test_the_log_of_a_run(tmp_path: Path) -> None:
    """Records are numbered from 1, with nodes and datasets in order and an end record that says completed."""
    log = there(make_project(tmp_path / "project")).records
    assert [record["n"] for record in log] == list(range(1, len(log) + 1))
    assert (log[0]["event"], log[0]["commit"], log[0]["user"]) == ("run", "c0ffee", "me@example.com")
    events = [(r["event"], r.get("node")) for r in log[1:] if r["event"] not in {"log", "output"}]
    assert events == [
        ("node_started", "double"),
        ("node_finished", "double"),
        ("saved", "double"),
        ("size", "double"),
        ("end", None),
    ]
    assert log[-1]["outcome"] == "completed"
    assert "Completed 1 out of 1 tasks" in [r["message"] for r in log if r["event"] == "log"]


def test_the_log_of_a_failure(tmp_path: Path) -> None:
    """The end record has the project's traceback, without frames of the driver."""
    project = make_project(tmp_path / "project").write({f"src/{PACKAGE}/pipeline_registry.py": _FAILING})
    end = there(project).records[-1]
    assert end["outcome"] == "failed"
    assert end["error"] == "RuntimeError: no luck"
    assert 'raise RuntimeError("no luck")' in end["traceback"]
    assert "run/driver/" not in end["traceback"]


def test_an_option_that_the_clusters_kedro_lacks(tmp_path: Path) -> None:
    """An option that the cluster's Kedro does not have is an error that names it."""
    end = there(make_project(tmp_path / "project"), options={"from_the_future": True}).records[-1]
    assert (
        end["error"] == "TypeError: The Kedro on the cluster has no option from_the_future; update it there."
    )


def test_no_bytecode_is_left_in_the_project(tmp_path: Path) -> None:
    """No __pycache__ is written into the project, since that would make the Git folder dirty."""
    project = make_project(tmp_path / "project")
    there(project)
    assert list(project.path.rglob("__pycache__")) == []


def test_a_long_log_is_cut_into_files_that_one_read_answers(tmp_path: Path) -> None:
    """No log file exceeds the size limit, and no record of several threads is lost or split."""
    log = RunLog(str(tmp_path / "log"))

    def add_many() -> None:
        for _ in range(500):
            log.add("log", message="ä" * 1000)

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close(outcome="completed")
    files = sorted((tmp_path / "log").glob("*"))
    assert all(file.stat().st_size <= CHUNK_BYTES + 3000 for file in files)
    assert [r["n"] for r in records_in(tmp_path / "log")] == list(range(1, 2002))


def test_what_is_printed_in_a_row_is_one_record(tmp_path: Path) -> None:
    """Consecutive prints to a stream are one record; another stream or event begins a new one."""
    log = RunLog(str(tmp_path / "log"))
    with captured_output(log):
        print("a", end="")  # noqa: T201
        print("b")  # noqa: T201
        print("c", end="", file=sys.stderr)  # noqa: T201
        log.add("saved", dataset="x")
        print("d", end="", file=sys.stderr)  # noqa: T201
    log.close()
    found = [(r.get("stream"), r.get("text")) for r in records_in(tmp_path / "log")[:-1]]
    assert found == [("stdout", "ab\n"), ("stderr", "c"), (None, None), ("stderr", "d")]


def test_much_output_is_cheap_and_whole(tmp_path: Path) -> None:
    """100,000 lines arrive in order, in few files, in records of limited size."""
    log = RunLog(str(tmp_path / "log"))
    lines = [f"line {number}\n" for number in range(100_000)]
    with captured_output(log):
        sys.stdout.writelines(lines)
    log.close()
    found = [r["text"] for r in records_in(tmp_path / "log") if r["event"] == "output"]
    assert "".join(found) == "".join(lines)
    assert len(found) < 100
    assert max(file.stat().st_size for file in (tmp_path / "log").iterdir()) < 1024 * 1024


def test_logging_is_put_back(tmp_path: Path) -> None:
    """During a run, records go to its log; afterwards the process logs as before."""
    before = logging.root.handlers[:]
    log = RunLog(str(tmp_path / "log"))
    with project_logging(log, str(tmp_path), str(tmp_path / "log")):
        logging.getLogger("tests.driver").warning("inside %s", "the run")
    log.close()
    assert logging.root.handlers == before
    assert [r["message"] for r in records_in(tmp_path / "log") if r["event"] == "log"] == ["inside the run"]


def test_modules_are_forgotten_by_their_exact_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose name only begins the same keeps its modules."""
    for name in ("iris", "iris.nodes", "iris_two"):
        monkeypatch.setitem(sys.modules, name, sys)
    forget("/nowhere", "iris")
    assert "iris" not in sys.modules
    assert "iris.nodes" not in sys.modules
    assert "iris_two" in sys.modules


def test_a_run_that_is_cancelled_while_it_imports_spoils_the_process(tmp_path: Path) -> None:
    """A run is cancelled during an import: the end record says that the process must not be used again."""
    stopped = 'raise KeyboardInterrupt("stop")\n'
    for line, is_spoiled in ((f"import {PACKAGE}.late", True), (stopped.strip(), False)):
        project = make_project(tmp_path / f"spoiled-{is_spoiled}" / "project")
        project.write({f"src/{PACKAGE}/late.py": stopped})
        project.write(
            {f"src/{PACKAGE}/pipeline_registry.py": _FAILING.replace('raise RuntimeError("no luck")', line)}
        )
        end = there(project).records[-1]
        assert (end["outcome"], end["spoiled"]) == ("cancelled", is_spoiled)


def test_a_mount_that_is_not_supported_is_like_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errno 95 below /dbfs, as on some compute, is treated as a missing file."""
    (tmp_path / "a.csv").write_text("12345")
    stat = os.stat

    def unsupported(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith("/dbfs/"):
            raise OSError(95, "Operation not supported", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", unsupported)
    assert size_of(SimpleNamespace(_filepath=tmp_path / "a.csv")) == 5


def test_a_process_that_may_not_read_the_workspace_is_spoiled(tmp_path: Path) -> None:
    """The process lost access to /Workspace, as after 36 hours: the end record says not to use it again.

    A file that the project itself may not read does not count.
    """
    for path, is_spoiled in (("/Workspace/Repos/me/iris/pyproject.toml", True), ("/etc/shadow", False)):
        line = f"raise PermissionError(1, 'Operation not permitted', {path!r})"
        project = make_project(tmp_path / f"spoiled-{is_spoiled}" / "project")
        project.write(
            {f"src/{PACKAGE}/pipeline_registry.py": _FAILING.replace('raise RuntimeError("no luck")', line)}
        )
        end = there(project).records[-1]
        assert (end["outcome"], end.get("spoiled", False)) == ("failed", is_spoiled)


_ANY_ARGUMENTS = """
from kedro.framework.session import KedroSession


class Own(KedroSession):
    def run(self, *args, **kwargs):
        print("a session of the project's own")
        return super().run(*args, **kwargs)


SESSION_CLASS = Own
"""


def test_a_session_that_takes_any_arguments_gets_what_kedros_takes(tmp_path: Path) -> None:
    """A project's session class with **kwargs gets the arguments that Kedro's class accepts."""
    project = make_project(tmp_path / "project")
    settings = project.path / f"src/{PACKAGE}/settings.py"
    settings.write_text(settings.read_text("utf-8") + _ANY_ARGUMENTS, encoding="utf-8")
    records = there(project).records
    assert records[-1]["outcome"] == "completed", records[-1]
    assert "a session of the project's own" in str(records)


_FRESH = {
    f"src/{PACKAGE}/settings.py": """\
        import os, sys
        from pathlib import Path

        from kedro.config import OmegaConfigLoader
        from kedro.framework.hooks import hook_impl

        sys.path.insert(0, str(Path(__file__).parents[3] / "shared"))
        os.environ["SET_BY"] = "V1"
        CONFIG_LOADER_CLASS = OmegaConfigLoader
        CONFIG_LOADER_ARGS = {
            "base_env": "base",
            "default_run_env": "local",
            "custom_resolvers": {"version": lambda: "V1"},
        }


        class Hooks:
            @hook_impl
            def before_pipeline_run(self):
                print("hook V1")


        HOOKS = (Hooks(),)
        """,
    f"src/{PACKAGE}/pipeline_registry.py": """\
        import importlib.util
        import os
        import sys
        import warnings
        from pathlib import Path

        import helpers.deep
        import in_src
        import shared_library
        from kedro.pipeline import node, pipeline

        for name in ("renamed", "again"):
            found = importlib.util.spec_from_file_location(name, Path(__file__).parents[3] / "shared/odd.py")
            sys.modules[name] = importlib.util.module_from_spec(found)
            found.loader.exec_module(sys.modules[name])


        def tell(resolved):
            import again, renamed

            print("own V1;", helpers.deep.VERSION, in_src.VERSION, shared_library.VERSION, renamed.VERSION,
                  again.VERSION, resolved, os.environ["SET_BY"])
            seen = vars(warnings).setdefault("seen", {})
            warnings.warn_explicit("said", UserWarning, "x.py", 1, registry=seen)
            return 1


        def register_pipelines():
            return {"__default__": pipeline([node(tell, "params:resolved", "one")])}
        """,
    "src/helpers/deep.py": 'VERSION = "V1"\n',
    "src/in_src.py": 'VERSION = "V1"\n',
    "../shared/shared_library.py": 'VERSION = "V1"\n',
    "../shared/odd.py": 'VERSION = "V1"\n',
    "conf/base/parameters.yml": "resolved: ${version:}\n",
}


def test_a_warm_process_runs_the_current_code_of_the_whole_repository(tmp_path: Path) -> None:
    """After an edit, a warm process imports all modules of the Git folder again; removed ones are gone."""
    project = make_project(tmp_path / "repository" / "project")
    for version in ("V1", "V2"):
        project.write({name: text.replace("V1", version) for name, text in _FRESH.items()})
        ran = there(project, prefix="project")
        assert ran.completed, ran.records[-1]
        assert ran.out == f"hook {version}\nown {version}; {' '.join([version] * 7)}\n"
        assert "said" in str(ran.log)
    settings = f"src/{PACKAGE}/settings.py"
    removed = {
        ("in_src", "src/in_src.py"): "No module named 'in_src'",
        ("sys.path", settings): "No module named 'shared_library'",
        ("SET_BY", settings): "KeyError: 'SET_BY'",
        ('"version"', settings): "Unsupported interpolation type version",
        ("HOOKS", settings): "",
    }
    for (words, file), error in removed.items():
        project.write(_FRESH)
        lines = (project.path / file).read_text("utf-8").splitlines()
        (project.path / file).unlink()
        if file == settings:
            project.write({file: "\n".join(line for line in lines if words not in line)})
        ran = there(project, prefix="project")
        assert error in ran.records[-1].get("error", "")
    assert ran.out.startswith("own")  # the hooks are gone


def test_a_missing_input_is_named_before_the_first_node(tmp_path: Path) -> None:
    """A missing input is named with the nearest existing file; then the run fails like a local one."""
    project = make_project(tmp_path / "project")
    (project.path / "data/01_raw/raw.csv").rename(project.path / "data/01_raw/raws.csv")
    ran = there(project)
    messages = [each["message"] for each in ran.records if each["event"] == "log"]
    path = project.path / "data/01_raw"
    said = f"The input raw does not exist: {path}/raw.csv; there is {path}/raws.csv."
    assert messages.index(said) < next(
        i for i, each in enumerate(messages) if each.startswith("Loading data")
    )
    assert not ran.completed


_VERSIONED = """\
raw:
  type: pandas.CSVDataset
  filepath: data/01_raw/raw.csv
  versioned: true
doubled: {type: pandas.CSVDataset, filepath: data/02_intermediate/doubled.csv}
"""


def test_another_folder_of_the_configuration(tmp_path: Path) -> None:
    """The run reads what the project's settings say, or the option --conf-source."""
    project = make_project(tmp_path / "project")
    settings = (project.path / f"src/{PACKAGE}/settings.py").read_text("utf-8")
    (project.path / "conf").rename(project.path / "configuration")
    assert there(project, f"--conf-source={project.path / 'configuration'}").completed
    project.write({f"src/{PACKAGE}/settings.py": f"{settings}CONF_SOURCE = 'configuration'\n"})
    assert there(project).completed


def test_the_next_step_fits_the_error(tmp_path: Path) -> None:
    """Options, parameters and data are no reason to commit; errors of this package name it themselves."""
    project = make_project(tmp_path / "project")
    options = "Correct the options, then run again."
    for refused in (
        "--pipelines=none",
        "--nodes=none",
        "--tags=none",
        "--runner=None",
        "--load-versions=x:1",
    ):
        assert there(project, refused).records[-1]["hint"] == options, refused
    project.write({"conf/base/catalog.yml": _VERSIONED})
    assert there(project, "--load-versions=raw:2020-01-01T00.00.00.000Z").records[-1]["hint"] == options
    project.write({"conf/base/catalog.yml": _VERSIONED.replace("raw.csv", "${runtime_params:name}")})
    assert "--params" in there(project).records[-1]["hint"]
    project.write({"conf/base/catalog.yml": _VERSIONED.replace("raw.csv", "no.csv").replace("true", "false")})
    assert "data push" in there(project).records[-1]["hint"]
    project.write(
        {"conf/base/catalog.yml": "_x: ${databricks.branch:}\nraw: {type: '${databricks.secret:a,b}'}\n"}
    )
    end = there(project).records[-1]
    assert "must not be used in catalog" in end["error"]
    assert end["hint"].startswith("Use it in credentials.yml")
    project.write({"conf/base/catalog.yml": "{}\n"})
    assert "hint" not in there(project).records[-1]


_TYPES = """\
run:
  params:
    1: one
    nested: {2: {true: .nan, 3.5: null}, text: "1"}
    number: 12345678901234567890
    bytes: !!binary aGk=
    list: [1, [2.0, "3"], {4: 5}]
    country: fr
"""


def test_parameters_keep_their_types(tmp_path: Path) -> None:
    """Parameters from --params, --config and the catalog have the types of a local run."""
    project = make_project(tmp_path / "project").write(
        {
            "run.yml": _TYPES,
            f"src/{PACKAGE}/pipeline_registry.py": """\
                from kedro.pipeline import node, pipeline

                def tell(parameters, raw):
                    print(sorted(parameters.items(), key=repr), list(raw.columns))
                    return 1

                def register_pipelines():
                    return {"__default__": pipeline([node(tell, ["parameters", "raw"], "told")])}
                """,
            "conf/base/catalog.yml": """\
                raw:
                  type: pandas.CSVDataset
                  filepath: data/01_raw/${runtime_params:country}.csv
                """,
            "data/01_raw/fr.csv": "prix\n1\n",
        }
    )
    options = "country=fr,a.b=1,c={1: x},d=[.nan],e=2020-01-02,f=true,g=null"
    for command in (f'--params "{options}"', f"--config {project.path}/run.yml"):
        local, remote = here(project, command), there(project, command)
        assert local.completed
        assert remote.out == local.out


def test_an_option_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    """An option whose value JSON cannot represent is an error that names it."""
    with pytest.raises(RunError, match="The value of the option params cannot be sent"):
        there(make_project(tmp_path / "project"), options={"params": {"made": object()}})


def test_data_in_memory_are_not_said_to_be_written(tmp_path: Path) -> None:
    """Datasets in memory are not listed as written; their time counts for their node."""
    project = make_project(tmp_path / "project").write({"conf/base/catalog.yml": _ONLY_RAW})
    outcome = Outcome()
    for record in there(project).records:
        outcome.take(record)
    assert outcome.nodes["double"].saved == {}
    assert outcome.nodes["double"].seconds is not None


_ONLY_RAW = "raw:\n  type: pandas.CSVDataset\n  filepath: data/01_raw/raw.csv\n"
