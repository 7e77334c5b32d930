"""Databricks through its SDK: login, clusters, the Git folder, the mirror of uncommitted files."""
