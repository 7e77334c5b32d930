"""Checks of everything that the workflow needs; each finding names its cause and its fix."""
