"""The graph of the pipeline's rules as GitHub draws it."""

import re


def mermaid(graph: str) -> str:
    """A mermaid block with names for ids, in an order of its own, from ``snakemake --rulegraph mermaid-js``."""
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", graph, re.MULTILINE))
    edges = re.findall(r"^\s*(id\d+) --> (id\d+)", graph, re.MULTILINE)
    lines = sorted(f"    {names[before]} --> {names[after]}" for before, after in edges)
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```"])
