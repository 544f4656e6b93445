"""Calibration plan: which trials, in which order, how long."""
