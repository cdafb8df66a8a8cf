"""Honest measurement: interleaved runs, raw records, the machine they came from."""
