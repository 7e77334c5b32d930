"""Fixtures: a project with a Git remote, and a sandbox."""

from tests.site import at_a_terminal, pushed, site, stranger

__all__ = ["at_a_terminal", "pushed", "site", "stranger"]
