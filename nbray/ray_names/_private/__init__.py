"""What packages take from Ray's inner modules."""
