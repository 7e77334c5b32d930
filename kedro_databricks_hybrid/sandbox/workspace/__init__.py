"""The workspace API: folders, files and notebooks."""
