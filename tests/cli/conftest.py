"""The fixtures of the Git side: a project with a remote and a sandbox."""

from tests.site import pushed, site

__all__ = ["pushed", "site"]
