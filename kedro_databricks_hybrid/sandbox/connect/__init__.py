"""Databricks Connect: gRPC on the address of the REST API."""
