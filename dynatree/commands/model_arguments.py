"""The arguments that name models, shared by subcommands."""

import argparse


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a target and a draft."""
    parser.add_argument("--target", required=True, help="folder or hub id of the target model")
    parser.add_argument("--draft", help="folder or hub id of the draft model")
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the device and the number format."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    formats = "auto, float32, float16, bfloat16 or int8"
    parser.add_argument("--dtype", default="auto", help=f"{formats} (default: %(default)s)")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how tokens are drawn."""
    parser.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily (default: %(default)s)")
    parser.add_argument("--top-k", type=int, help="draw from the k most likely tokens only")
    parser.add_argument("--top-p", type=float, help="draw from the most likely tokens that reach this probability")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: %(default)s)")
