"""Support for the Snakemake workflow."""
