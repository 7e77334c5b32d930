"""Faults on demand, and switches for the kind of workspace; no part of Databricks' API."""
