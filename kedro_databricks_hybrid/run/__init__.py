"""Running a pipeline on Databricks: request, backend, outcome, and the run log between them."""
