"""How the tables come together."""

from kedro.pipeline import Pipeline, node, pipeline

from spaceflights.pipelines.data_processing import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    return pipeline(
        [
            node(nodes.preprocess_companies, "companies", "preprocessed_companies", tags=["spark"]),
            node(nodes.preprocess_shuttles, "shuttles", "preprocessed_shuttles", tags=["spark", "pandas"]),
            node(
                nodes.create_model_input_table,
                ["preprocessed_shuttles", "preprocessed_companies", "reviews"],
                "model_input_table@spark",
                tags=["spark"],
            ),
        ]
    )
