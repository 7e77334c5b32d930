"""The pipeline reporting."""

from spaceflights.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
