"""Write the tables of what each configuration measures into docs/experiments.md."""

from pathlib import Path

from dynatree.config.cost_estimate import markdown
from dynatree.config.load import load_config
from dynatree.workflow.generated_docs import fill

parts = []
for name in ("paper", "paper-quick", "specbench", "demo", "ci"):
    path = Path(f"config/{name}.yaml")
    config = load_config(path)
    models = " and ".join(model["label"] for model in config["models"].values())
    parts.append(f"### `{path}`: {models}, {config['dtype']} on {config['device']}\n\n{markdown(config)}")
fill(Path("docs/experiments.md"), "plans", "\n".join(parts))
