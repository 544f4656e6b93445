"""Text classifiers built for calibration, one module per family."""
