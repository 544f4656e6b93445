"""Measurement of trials: windows, scenarios, rows and progress events."""
