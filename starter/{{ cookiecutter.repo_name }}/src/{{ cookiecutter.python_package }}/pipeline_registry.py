"""The pipelines of the project, by the names that `kedro run --pipelines` takes."""

from kedro.pipeline import Pipeline

from .pipeline import create_distributed_pipeline, create_pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; `kedro run` runs `__default__`."""
    return {
        "__default__": create_pipeline(),
        "distributed": create_distributed_pipeline(),
    }
