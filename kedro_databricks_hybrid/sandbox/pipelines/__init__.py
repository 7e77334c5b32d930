"""The pipelines API."""
