"""Calibration of many machines through a Dask cluster."""
