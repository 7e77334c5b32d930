"""The project's Git repository, a branch for work that is not committed, and names that tools act on."""
