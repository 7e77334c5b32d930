"""Databricks through its SDK: the login, clusters, the Git folder, the copy of uncommitted files."""
