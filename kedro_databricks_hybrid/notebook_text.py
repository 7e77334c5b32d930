"""The guide's notebook: the four cells with which people run the project in the workspace itself."""

from __future__ import annotations

PATH = "notebooks/run_on_databricks.py"
"""Where it lies in the project."""

TEXT = """\
# Databricks notebook source
# MAGIC %md
# MAGIC Attach this notebook to a cluster and run its cells in turn. After you change the code, run the last
# MAGIC two again. It works from the Git folder that it lies in, whoever's that is.

# COMMAND ----------

# MAGIC %pip install -r ../requirements.txt

# COMMAND ----------

# MAGIC %load_ext kedro.ipython

# COMMAND ----------

# MAGIC %reload_kedro .. --env=databricks

# COMMAND ----------

session.run()
"""
