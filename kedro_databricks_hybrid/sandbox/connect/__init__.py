"""Databricks Connect: gRPC on the server's own address."""
