"""Write the tables of what each configuration measures into docs/experiments.md."""

from pathlib import Path

import yaml

from dynatree.files import write_text
from dynatree.plan import markdown

DOCUMENT = Path("docs/experiments.md")
BEGIN, END = "<!-- plans -->\n", "<!-- end of plans -->"

parts = []
for name in ("paper", "demo", "ci"):
    path = Path(f"config/{name}.yaml")
    config = yaml.safe_load(path.read_text())
    models = " and ".join(model["label"] for model in config["models"].values())
    parts.append(f"### `{path}`: {models}, {config['dtype']} on {config['device']}\n\n{markdown(config)}")
before, _, rest = DOCUMENT.read_text().partition(BEGIN)
_, _, after = rest.partition(END)
write_text(DOCUMENT, f"{before}{BEGIN}\n" + "\n".join(parts) + f"\n{END}{after}")
