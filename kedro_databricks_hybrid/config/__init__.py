"""Parts of the config loader: mapping a catalog's paths, reading secrets."""
