"""Users, tokens and logins."""
