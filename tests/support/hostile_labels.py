"""Labels, names of files and ids that run commands, read files or break the typesetting wherever one is not quoted."""

import re
from pathlib import Path

import yaml

from dynatree.config.load import load_config

LABELS = {
    "autoregressive": "$(touch pwned)",
    "hf_generate": "`touch pwned`",
    "hf_assisted": "%&_#{}~^",
    "hf_assisted_fixed": r"\input{/etc/passwd}",
    "chain": '"; touch pwned; "',
    "fixed_tree": "$x^",
    "dynatree_static": r"\frac{$ü",
    "dynatree": "a\ntouch pwned",
    "dynatree_published": r"\verb+pwned+ & %",
    "hf_prompt_lookup": r"\csname pwned\endcsname",
    "llama_cpp": r"\openout pwned $(touch pwned)",
    "llama_cpp_ngram": "|touch pwned| ^^M",
    "cost_aware": "${pwned} {{ pwned }}",
    "cost_aware_ngram": "<b>pwned</b> && touch pwned",
    "cost_aware_recycling": r"\\ pwned & #1",
    "cost_aware_table": r"\input{| touch pwned}",
    "cost_aware_model": "'; touch pwned; '",
}
DATASETS = {"encyclopaedic": r"}$x_{ \bye", "narrative": "{0} %s | pwned"}
MODELS = {"target": r"\write18{touch pwned}", "draft": "& pwned \\\\ #1"}
ORIGIN = r"\immediate\write18{touch pwned} \openin5=/etc/passwd"
IDS = ["$(touch pwned)", "../../pwned", "`touch pwned`$x^", r"\input{/etc/passwd}"]
TEXT = "'; touch pwned; echo \" $(touch pwned) `touch pwned` \\input{x} %&_#{}~^ ${HOME} <|eos|> ü \n\t end."
PROMPTS = "config/prompts/$(touch pwned) '; touch pwned #.yaml"


def label_hostilely(folder: Path, name: str) -> None:
    """Write the tiny configuration with hostile labels, and its narrative prompts under a hostile name and origin."""
    config = load_config(folder / "config/ci.yaml")
    for section, labels in (("methods", LABELS), ("prompts", DATASETS), ("models", MODELS)):
        assert set(config[section]) == set(labels)
        for key, label in labels.items():
            config[section][key]["label"] = label
    for method, label in zip(config["compression"]["methods"].values(), LABELS.values(), strict=False):
        method["label"] = label
    source = config["prompts"]["narrative"]["source"]
    prompts = yaml.safe_load((folder / source["path"]).read_text())
    (folder / PROMPTS).write_text(yaml.safe_dump(prompts | {"source": ORIGIN}))
    source["path"] = PROMPTS
    (folder / name).write_text(yaml.safe_dump(config, sort_keys=False))


def without_spaces(text: str) -> str:
    """Remove white space, so that texts whose lines were broken compare equal."""
    return re.sub(r"\s+", "", text)
