"""The notebook process as the server sees it: how it is set up, started, asked and ended."""
