"""The files API and what it needs of Unity Catalog."""
