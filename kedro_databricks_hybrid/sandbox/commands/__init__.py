"""Execution contexts and commands of API 1.2."""
