"""The guide, performed."""
