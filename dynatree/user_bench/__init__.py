"""``dynatree bench``: the fastest way of decoding for one model on one machine."""
