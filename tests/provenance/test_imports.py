"""The modules that a script imports when it runs, and those in its fingerprint."""

import os
import subprocess
import sys
from pathlib import Path

from dynatree.provenance.fingerprint import CARRIERS, import_closure
from dynatree.utils.paths import ROOT

SCRIPTS = ("benchmark", "measure_compression", "prepare_prompts", "summarize", "judge_claims")
FRAME = "import sys\nfrom dynatree.workflow.script import run\nsys.exit()\n"
SHOW_HELP = """
import os, runpy, sys
import matplotlib.pyplot, pandas, torch, transformers

folder, *scripts = sys.argv[1:]
for script in scripts:
    if os.fork():
        os.wait()
        continue
    sys.argv = [script, "--help"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit:
        files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "dynatree"]
        with open(os.path.join(folder, os.path.basename(script) + ".imported"), "w") as stream:
            stream.write("\\n".join(files))
    os._exit(0)
"""


def test_a_fingerprint_covers_every_module_that_its_script_imports(tmp_path):
    (tmp_path / "frame").write_text(FRAME)
    scripts = [f"scripts/{name}.py" for name in SCRIPTS]
    command = [sys.executable, "-c", SHOW_HELP, tmp_path, tmp_path / "frame", *scripts]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    frame, *others = (set((tmp_path / f"{Path(script).name}.imported").read_text().split()) for script in command[4:])
    carriers = {ROOT / name for name in CARRIERS}
    for script, imported in zip(scripts, others, strict=True):
        own = {Path(name) for name in imported - frame} - carriers
        assert len(own) >= 3, script
        assert own <= import_closure(script), script


def test_a_measurement_does_not_depend_on_the_analysis():
    for name in ("benchmark", "measure_memory", "measure_latency", "measure_compression", "draft_tree"):
        folders = {path.relative_to(ROOT).parts[1] for path in import_closure(f"scripts/{name}.py")}
        assert not folders & {"analysis", "cli.py"}, name
