"""Transfer data between the project's data folder and its data root on Databricks."""
