"""How Databricks words what Spark Connect's client refuses, in the Python processes of serverless compute."""

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
    """Have PySpark say it that way from now on."""
    from pyspark.errors.utils import ErrorClassesReader

    theirs = ErrorClassesReader.get_error_message

    def words(reader: ErrorClassesReader, error: str, parameters: dict[str, str], *more: Any) -> str:  # noqa: ANN401
        if error == "NOT_IMPLEMENTED" and parameters.get("feature") == "rdd":
            return _NO_RDD + _MORE
        if error == "JVM_ATTRIBUTE_NOT_SUPPORTED":
            return _NO_JVM.format(parameters["attr_name"]) + _MORE
        return theirs(reader, error, parameters, *more)

    ErrorClassesReader.get_error_message = words  # type: ignore[assignment, method-assign]
