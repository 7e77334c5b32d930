"""The Unity Catalog API: the metastore, catalogs, schemas, records of volumes and tables."""
