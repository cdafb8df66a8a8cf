"""The graph of the rules as a diagram that GitHub draws."""

import re


def mermaid(graph: str) -> str:
    """Convert the output of ``snakemake --rulegraph mermaid-js`` to a sorted mermaid block with the names of rules."""
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", graph, re.MULTILINE))
    edges = re.findall(r"^\s*(id\d+) --> (id\d+)", graph, re.MULTILINE)
    lines = sorted(f"    {names[before]} --> {names[after]}" for before, after in edges)
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```"])
