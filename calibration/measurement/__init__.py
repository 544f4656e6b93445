"""Measurement windows and trials."""
