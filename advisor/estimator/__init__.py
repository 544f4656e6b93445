"""Estimator: joules and seconds of a setup on a device, with intervals."""
