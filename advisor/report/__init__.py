"""Report: energy, emissions and cost of planned deployments."""
