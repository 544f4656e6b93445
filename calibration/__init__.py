"""How it is measured: device probe, meters, workloads, candidates, protocol, suite.

Imports only `catalog` of ours. Heavy libraries (torch, transformers, codecarbon, pynvml) are
imported where they are used, so that a machine without them can still be described.
"""
