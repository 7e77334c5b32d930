"""`display` and `displayHTML` of a notebook."""

from __future__ import annotations

import json
from typing import Any

from ..access import TABLE

MAX_ROWS = 10_000


def display(*values: object) -> None:
    """Show data frames as tables, and other values as IPython shows them."""
    from IPython.display import display as show

    for value in values:
        table = _table(value)
        if table is None:
            show(value)  # type: ignore[no-untyped-call]
        else:
            text = f"{len(table['data'])} rows"
            show({TABLE: table, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]


def display_html(html: str) -> None:
    """Show HTML."""
    from IPython.display import HTML
    from IPython.display import display as show

    show(HTML(html))  # type: ignore[no-untyped-call]


def _table(value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - a data frame of either kind
    """Return a Spark or pandas data frame in the API's table format, None for other values."""
    if hasattr(value, "toPandas") and hasattr(value, "limit"):
        names = [(field.name, json.dumps(field.dataType.jsonValue())) for field in value.schema.fields]
        rows = [list(row) for row in value.limit(MAX_ROWS + 1).collect()]
    elif type(value).__module__.startswith("pandas.") and type(value).__name__ == "DataFrame":
        names = [(str(name), json.dumps(str(kind))) for name, kind in value.dtypes.items()]
        rows = value.head(MAX_ROWS + 1).to_numpy(dtype=object).tolist()
    else:
        return None
    return {
        "schema": [{"name": name, "type": kind, "metadata": "{}"} for name, kind in names],
        "data": json.loads(json.dumps(rows[:MAX_ROWS], default=str)),
        "truncated": len(rows) > MAX_ROWS,
    }
