"""The local Git repository, snapshots of uncommitted files, and names of files that tools act on."""
