"""The two kinds of data root, DBFS and volumes, behind one protocol."""
