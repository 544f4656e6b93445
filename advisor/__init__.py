"""What follows from the catalog: features, estimator, validation and the decision.

It reads snapshots of the catalog and writes nothing to it; it never learns how a number was
measured beyond what the record says.
"""
