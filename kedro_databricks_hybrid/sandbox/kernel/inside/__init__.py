"""What runs inside the notebook process."""
