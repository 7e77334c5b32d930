"""Run pipelines on Databricks: the request, the command or job that performs it, its log and outcome."""
