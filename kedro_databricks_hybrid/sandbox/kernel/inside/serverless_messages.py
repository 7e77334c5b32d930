"""The messages of Databricks for errors of Spark Connect's client on serverless compute."""

from __future__ import annotations

from typing import Any

_MORE = (
    " For more details on compatibility and limitations, check: "
    "https://docs.databricks.com/release-notes/serverless.html#limitations"
)
_NO_RDD = (
    "Using custom code using PySpark RDDs is not allowed on serverless compute. We suggest using "
    "mapInPandas or mapInArrow for the most common use cases."
)
_NO_JVM = (
    "Directly accessing the underlying Spark driver JVM using the attribute '{}' is not supported on "
    "serverless compute. If you require direct access to these fields, consider using a single-user cluster."
)


def use() -> None:
    """Replace PySpark's messages with those of Databricks in this process."""
    from pyspark.errors.utils import ErrorClassesReader

    original = ErrorClassesReader.get_error_message

    def message(reader: ErrorClassesReader, error: str, parameters: dict[str, str], *more: Any) -> str:  # noqa: ANN401
        if error == "NOT_IMPLEMENTED" and parameters.get("feature") == "rdd":
            return _NO_RDD + _MORE
        if error == "JVM_ATTRIBUTE_NOT_SUPPORTED":
            return _NO_JVM.format(parameters["attr_name"]) + _MORE
        return original(reader, error, parameters, *more)

    ErrorClassesReader.get_error_message = message  # type: ignore[assignment, method-assign]
