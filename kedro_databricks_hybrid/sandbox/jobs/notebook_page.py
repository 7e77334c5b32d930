"""A notebook run as a page, which `runs/export` gives: the cells, and the result or error of the run."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kedro_databricks_hybrid.sandbox.jobs.runs import TaskRun

_PAGE = """<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<p>{state}</p>
{parts}
</body>
</html>
"""


def page_of(name: str, cells: Iterable[tuple[str, str]], one: TaskRun) -> str:
    """Return the page of a run.

    Args:
        name: The name of the notebook.
        cells: The type and the text of each of its cells.
        one: The run of the task.
    """
    parts = [text for _, text in cells if text.strip()]
    results = (one.output.result, one.output.error, one.output.error_trace)
    shown = [f"<pre>{html.escape(part)}</pre>" for part in (*parts, *filter(None, results))]
    state = " ".join(filter(None, (one.state.life_cycle, one.state.result, one.state.message)))
    return _PAGE.format(title=html.escape(name), state=html.escape(state), parts="\n".join(shown))
