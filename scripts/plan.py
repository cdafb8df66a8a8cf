"""Write the tables of what each configuration measures into docs/experiments.md."""

from pathlib import Path

import yaml

from dynatree.config.cost_estimate import markdown
from dynatree.workflow.generated_docs import fill

parts = []
for name in ("paper", "demo", "ci"):
    path = Path(f"config/{name}.yaml")
    config = yaml.safe_load(path.read_text())
    models = " and ".join(model["label"] for model in config["models"].values())
    parts.append(f"### `{path}`: {models}, {config['dtype']} on {config['device']}\n\n{markdown(config)}")
fill(Path("docs/experiments.md"), "plans", "\n".join(parts))
