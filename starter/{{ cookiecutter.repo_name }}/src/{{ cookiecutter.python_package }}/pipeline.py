"""How the nodes are joined up."""

from inspect import signature

from kedro.pipeline import Pipeline, node

from .distributed import predict_in_batches, report_distributed
from .nodes import make_predictions, report_accuracy, split
from .split import train_and_test

# A classifier takes those of these that it names as arguments, so that one without
# parameters can be put in the place of make_predictions with no change here.
CLASSIFIER_INPUTS = {
    "X_train": "X_train@pandas",
    "X_test": "X_test@pandas",
    "y_train": "y_train@pandas",
    "n_neighbors": "params:n_neighbors",
}


def create_pipeline() -> Pipeline:
    """Return the iris pipeline: split with Spark, predict and report with pandas."""
    arguments = signature(make_predictions).parameters
    return Pipeline(
        [
            node(
                split,
                inputs=["example_iris_data", "parameters"],
                outputs=["X_train@pyspark", "X_test@pyspark", "y_train@pyspark", "y_test@pyspark"],
                name="split",
            ),
            node(
                make_predictions,
                inputs={name: CLASSIFIER_INPUTS[name] for name in arguments},
                outputs="y_pred",
                name="make_predictions",
            ),
            node(
                report_accuracy,
                inputs=["y_pred", "y_test@pandas", "params:classes"],
                outputs=["metrics", "confusion_matrix"],
                name="report_accuracy",
            ),
        ]
    )


def create_distributed_pipeline() -> Pipeline:
    """Return the same for test sets that outgrow one machine: Spark predicts as well."""
    return Pipeline(
        [
            node(
                train_and_test,
                inputs=["example_iris_data", "parameters"],
                outputs=["distributed_train@pyspark", "distributed_test"],
                name="train_and_test",
            ),
            node(
                predict_in_batches,
                inputs=["distributed_train@pandas", "distributed_test", "parameters"],
                outputs="distributed_predictions",
                name="predict_in_batches",
            ),
            node(
                report_distributed,
                inputs=["distributed_predictions", "parameters"],
                outputs=["distributed_metrics", "distributed_confusion_matrix"],
                name="report_distributed",
            ),
        ]
    )
