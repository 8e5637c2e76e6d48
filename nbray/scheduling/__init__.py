"""What runs where and when: pure decisions, events in, effects out."""
