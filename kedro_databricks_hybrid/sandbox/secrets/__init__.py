"""The secrets API."""
