"""A Databricks workspace on this machine: the real REST API, on 127.0.0.1, without an account."""
