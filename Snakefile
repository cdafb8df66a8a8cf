import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")

# The rules, the scripts and the provenance notes name files relative to this folder.
HOME = Path(workflow.basedir).resolve()
if Path.cwd().resolve() != HOME:
    sys.exit(
        f"error: the pipeline works in {HOME} only, not in {Path.cwd()}; start it there, or with --directory {HOME}. "
        "To keep a run on another disk, make results/RUN a link to a folder there."
    )

# Timings with other threads than the configuration states would pass for timings with those.
if workflow.is_main_process and workflow.resource_settings.overwrite_threads:
    sys.exit(
        "error: --set-threads is not supported, because the configuration decides how many threads are timed; "
        "use --config threads=N"
    )


configfile: "config/defaults.yaml"


# Configuration files and values of the command line are merged last.
if "models" not in config:

    configfile: "config/demo.yaml"


include: "workflow/rules/common.smk"


# Rule write_report_pages makes the first page of the report.
report: f"results/{RUN}/report.rst"


if "measured" in config:

    include: "workflow/rules/adopt.smk"

else:

    include: "workflow/rules/models.smk"
    include: "workflow/rules/prompts.smk"
    include: "workflow/rules/benchmarks.smk"
    include: "workflow/rules/arena.smk"
    include: "workflow/rules/archive.smk"


include: "workflow/rules/results.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/targets.smk"


if "distillation" in config:

    include: "workflow/rules/distillation.smk"


# These rules are short or need the network. On a cluster they run on the node of the workflow.
localrules:
    all,
    fetch_model,
    prepare_prompts,
    choose_settings,
    summarize,
    summarize_memory,
    bound_sizes,
    summarize_compression,
    collect_facts,
    table,
    figure,
    judge_claims,
    write_report_pages,
    render_paper,
    compile_paper,


rule all:
    default_target: True
    input:
        f"paper/{RUN}/dynatree.pdf",
        f"results/{RUN}/claims.csv",
        f"results/{RUN}/report.rst",
        expand(f"results/{RUN}/tables/{{name}}.csv", name=TABLES),
        expand(f"figures/{RUN}/{{name}}.png", name=FIGURES),
