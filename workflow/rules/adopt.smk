# Measurements of another run replace the measuring rules. All other rules are the ordinary ones.
rule adopt:
    input:
        f"{config['measured']}/{{file}}",
    output:
        f"results/{RUN}/{{file}}",
    log:
        f"results/{RUN}/logs/adopt/{{file}}.log",
    wildcard_constraints:
        file=r"(?:records|compression)/[^/]+|tree\.json|latency\.csv|heads\.(?:json|csv)",
    localrule: True
    shell:
        "cp {input:q} {output:q} 2>{log:q}"
