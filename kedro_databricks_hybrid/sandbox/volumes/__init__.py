"""The Files API, and Unity Catalog as far as volumes need it."""
