"""The Kedro project that a command works on: its settings, its requirements, its data, its notebook."""
