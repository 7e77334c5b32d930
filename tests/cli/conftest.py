"""Fixtures: a project with a Git remote and a sandbox."""

from tests.site import pushed, site

__all__ = ["pushed", "site"]
