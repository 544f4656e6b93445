"""HTTP service: routes, question, uploads, problems, middleware."""
