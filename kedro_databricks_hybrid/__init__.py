"""Write a Kedro project in your IDE, keep it in Git, run it on Databricks."""

__version__ = "0.1.0"
