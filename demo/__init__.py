"""The whole guide, run on the sandbox."""
