"""Catalog database: tables, migrations, reading and writing."""
