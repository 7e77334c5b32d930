"""Settings of the project: https://docs.kedro.org/en/stable/kedro_project_setup/settings.html."""

from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader

# One catalog works locally and on Databricks: paths below data/ point to the data root there.
CONFIG_LOADER_CLASS = DatabricksConfigLoader
