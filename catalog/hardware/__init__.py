"""Machines by name: devices, cloud instances, class defaults."""
