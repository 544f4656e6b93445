"""Run files and prediction files: reading, validation, writing."""
