"""Two models of one shape, each in a namespace."""

from kedro.pipeline import Pipeline, node, pipeline

from spaceflights.pipelines.data_science import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    modelling = pipeline(
        [
            node(
                nodes.split_data,
                ["model_input_table@pandas", "params:model_options"],
                ["train", "test"],
                name="split_data",
            ),
            node(nodes.train_model, ["train", "params:model_options"], "regressor", name="train_model"),
            node(
                nodes.evaluate_model,
                ["regressor", "test", "params:model_options", "params:report.decimals"],
                "metrics",
                name="evaluate_model",
            ),
        ]
    )
    return sum(
        (
            pipeline(
                modelling,
                inputs={"model_input_table@pandas"},
                parameters={"params:report.decimals"},
                namespace=name,
            )
            for name in ("active_modelling_pipeline", "candidate_modelling_pipeline")
        ),
        Pipeline([]),
    )
