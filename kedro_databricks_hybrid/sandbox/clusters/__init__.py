"""The clusters and libraries APIs."""
