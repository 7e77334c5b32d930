"""The Kedro project of a command: its settings, requirements, data and notebook."""
