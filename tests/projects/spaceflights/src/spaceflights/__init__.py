"""What flights to the moon cost."""

__version__ = "0.1"
