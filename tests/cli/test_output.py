"""The log of a run on a terminal looks as Kedro prints it; some records are left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from kedro.logging import RichHandler

from kedro_databricks_hybrid.cli import output
from kedro_databricks_hybrid.cli.output import log_printer
from kedro_databricks_hybrid.run.driver.project_logging import LogHandler
from kedro_databricks_hybrid.run.driver.run_log import RunLog


def logged(folder: Path, *records: logging.LogRecord) -> list[dict[str, Any]]:
    """Send records through the driver's handler, as on a cluster, and return the records of the run log."""
    log = RunLog(str(folder))
    for record in records:
        LogHandler(log).emit(record)
    log.close()
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines][:-1]


def record_of(message: str, *args: object, **extra: object) -> logging.LogRecord:
    """Create a record as a logger does."""
    facts = {"name": "kedro.io", "levelno": 20, "levelname": "INFO", "pathname": "/x/nodes.py", "lineno": 7}
    return logging.makeLogRecord({**facts, "filename": "nodes.py", "msg": message, "args": args, **extra})


@pytest.mark.parametrize(
    "record",
    [
        record_of("plain words, ein Wörtchen ✓"),
        record_of("Loading [bold]data[/bold] from %s", "x"),
        record_of("Saving data to %s (%s)...", "X_train", "CSVDataset", rich_format=["dark_orange", "blue"]),
        record_of("Running node: %s", "split([example_iris_data;parameters])", markup=False),
        record_of("a 1 'b'", highlighter=None),
        record_of("own level", levelno=25, levelname="NOTICE"),
    ],
)
def test_a_record_looks_as_it_does_in_a_local_run(
    record: logging.LogRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record has Kedro's columns, colours and markup."""
    RichHandler().handle(record)
    here = capsys.readouterr().out
    (there,) = logged(tmp_path, record)
    log_printer(terminal=True)({**there, "t": record.created})
    assert capsys.readouterr().out == here


def test_columns_are_those_of_the_projects_handler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal and in plain lines."""
    shown = RichHandler(show_time=False, show_path=False, log_time_format="%H")
    log = RunLog(str(tmp_path))
    LogHandler(log, shown).emit(record_of("plain words"))
    log.close()
    there = json.loads((tmp_path / "000001.jsonl").read_text("utf-8").splitlines()[0])
    shown.handle(record_of("plain words"))
    here = capsys.readouterr().out
    for terminal, expected in ((True, here), (False, "INFO     plain words\n")):
        log_printer(terminal=terminal)(there)
        assert capsys.readouterr().out == expected


def test_brackets_that_are_no_markup_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets in a message that are no rich markup are printed, without an error."""
    log_printer(terminal=True)(*logged(tmp_path, record_of("ends with [/oops]")))
    assert "[/oops]" in capsys.readouterr().out


def test_a_record_begins_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record begins a new line, also after a progress bar, whose carriage returns are printed unchanged."""
    show = log_printer(terminal=False)
    show({"event": "output", "stream": "stderr", "text": "10 %\r20 %"})
    show(logged(tmp_path, record_of("next"))[0])
    first, second = capsys.readouterr().out.split("\n")[:2]
    assert first == "10 %\r20 %"
    assert second.startswith("[")


def test_what_py4j_says_of_a_cancelled_run_is_left_out(tmp_path: Path) -> None:
    """Records of py4j about the interruption are left out; those of the project are printed."""
    cause = (KeyboardInterrupt, KeyboardInterrupt(), None)
    java = "/x/py4j/java_gateway.py"
    py4j = record_of("KeyboardInterrupt while sending command.", pathname=java, exc_info=cause)
    own = record_of("interrupted", exc_info=cause)
    assert [record["message"] for record in logged(tmp_path, py4j, own)] == ["interrupted"]


def test_a_table_and_a_report_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row becomes lines, and a line of a report stays in its column; nothing is broken inside a name."""
    columns, row = ("path", "here", "", "state"), ("03_primary/a_long_name.csv", "3.9 kB", "today", "same")
    output.print_table(columns, [row])
    monkeypatch.setattr(output, "terminal_width", lambda *, err=False: 30)
    output.print_table(columns, [row])
    output.say_aligned("data", "1 to upload, 0 to download; dbfs:/root/projects/tiny/data", column=8)
    assert capsys.readouterr().out == (
        "path                        here           state\n"
        "03_primary/a_long_name.csv  3.9 kB  today  same\n"
        "03_primary/a_long_name.csv\n  here: 3.9 kB  today\n  state: same\n"
        "data    1 to upload, 0 to\n        download;\n        dbfs:/root/projects/tiny/data\n"
    )
