"""The DBFS API."""
