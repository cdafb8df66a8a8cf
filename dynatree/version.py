"""The version. No fingerprinted script imports this module, so a release reruns nothing."""

__version__ = "0.1.0"
