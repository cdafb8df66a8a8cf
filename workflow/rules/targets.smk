# One target per experiment, for example `snakemake main`: its tables and figures.
def results_of(experiment):
    """Return the tables and figures that show an experiment."""
    return [
        f"{folder}/{name}.{ending}"
        for entries, folder, ending in (
            (TABLES, f"results/{RUN}/tables", "csv"),
            (FIGURES, f"figures/{RUN}", "png"),
        )
        for name, entry in entries.items()
        if experiment in {Path(source).stem for source in entry.inputs}
    ]


for experiment in [*config["experiments"], "compression", "heads"]:

    rule:
        name:
            experiment
        input:
            results_of(experiment),

    # Shown by `snakemake --list-target-rules`.
    workflow.get_rule(experiment).docstring = TABLES[experiment].caption
