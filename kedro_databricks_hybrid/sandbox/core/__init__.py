"""What the API families share: errors, request parameters, paths, files that are replaced whole."""
