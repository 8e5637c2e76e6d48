"""The command ``nbray``: start, stop and look at clusters of this machine."""
