"""Unity Catalog in SQL: names, and the GRANT that a refusal asks for. Pure."""

from __future__ import annotations

import re

_MISSING = re.compile(
    r"does not have (?P<privilege>[A-Z]+(?: [A-Z]+)*) on (?P<kind>[A-Z]\w+) '?(?P<name>[^'\s]*[^'\s.,;])"
)


def missing(message: str) -> str | None:
    """Return the GRANT statement, without its TO, for the privilege that a refusal names; None without one.

    Args:
        message: Databricks' message, such as `User does not have USE SCHEMA on Schema 'main.default'.`
    """
    found = _MISSING.search(message)
    if found is None:
        return None
    return f"GRANT {found['privilege']} ON {found['kind'].upper()} {in_sql(found['name'])}"


def in_sql(full_name: str) -> str:
    """Return a full name such as `main.default.my-data` in SQL, which needs backticks around some parts."""
    return ".".join(part if part.isidentifier() else f"`{part}`" for part in full_name.split("."))
