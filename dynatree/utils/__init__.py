"""Files, locks, paths, the host and checks of options."""
