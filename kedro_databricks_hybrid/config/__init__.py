"""What the configuration loader looks up: the paths of a catalog, the secrets of a scope."""
