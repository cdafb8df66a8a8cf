"""The one place that holds the version. Nothing that is fingerprinted imports it, so a release reruns nothing."""

__version__ = "0.1.0"
