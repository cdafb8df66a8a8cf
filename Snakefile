from snakemake.utils import min_version

min_version("9.20")


# A configuration file given on the command line replaces the default instead of being merged into it.
if "run" not in config:

    configfile: "config/demo.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/distillation.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        f"paper/{RUN}/dynatree.pdf",
        f"results/{RUN}/tables/main.csv",
        f"figures/{RUN}/main.png",
