"""Settings of the project: https://docs.kedro.org/en/stable/kedro_project_setup/settings.html."""

from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader

# One catalog for both worlds: paths of the local data folder here, of the data root there.
CONFIG_LOADER_CLASS = DatabricksConfigLoader
