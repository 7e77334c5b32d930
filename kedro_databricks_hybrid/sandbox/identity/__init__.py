"""Users, their tokens, and how they log in."""
