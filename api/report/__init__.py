"""Reports over HTTP and as files: form, routes, formats."""
