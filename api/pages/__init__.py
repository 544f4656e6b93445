"""Pages for a browser: the answer, the catalog, a device, the estimator."""
