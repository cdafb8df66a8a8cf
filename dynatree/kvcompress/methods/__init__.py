"""Methods of cache compression, one per file."""
