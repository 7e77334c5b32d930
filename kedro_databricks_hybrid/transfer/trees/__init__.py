"""The two kinds of data root, DBFS and volumes, with one protocol."""
