"""What packages take from Ray's common inner modules."""
