"""How it is asked: the HTTP service, its pages and the command line.

Handlers parse, call one function of `advisor` or `catalog` and return; nothing is computed here.
"""
