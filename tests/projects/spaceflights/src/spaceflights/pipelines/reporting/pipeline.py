"""Tables and a picture for the report."""

from kedro.pipeline import Pipeline, node, pipeline

from spaceflights.pipelines.reporting import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    return pipeline(
        [
            node(
                nodes.capacity_by_type,
                "model_input_table@pandas",
                "capacity_by_shuttle_type",
                tags=["pandas"],
            ),
            node(nodes.plot_capacity, "model_input_table@pandas", "capacity_plot", tags=["pandas"]),
        ]
    )
