"""Files, locks, paths and checks."""
