"""Who proposes the nodes of a tree."""
