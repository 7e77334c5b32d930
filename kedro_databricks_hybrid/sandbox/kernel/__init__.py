"""The notebook process from the server's side: its files, its start, its commands and its end."""
