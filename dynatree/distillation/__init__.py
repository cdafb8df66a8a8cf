"""How the embedded draft is made from its target."""
