"""Faults on demand and switches of the workspace; not part of Databricks' API."""
