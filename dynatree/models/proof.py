"""A proof by example that decoding with a kind of model is exact.

A tiny random float32 model of the configuration decodes random cases. Each case replays a text of ``generate`` in
rounds of trees that contain the text as far as a draft may have guessed it. The logits of every accepted node must be
those of ``generate``.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.decoding_cache import DecodingCache
from dynatree.models.exclusive import exclusive
from dynatree.models.modes import MODES, Mode, set_mode
from dynatree.models.positions import reading_again_length, uniform_depth, unscaled_frequencies
from dynatree.models.runner import ModelRunner
from dynatree.models.tiny_config import tiny_config, tiny_model
from dynatree.tree import TokenTree

PROMPTS = (5, 1, 17, 29)  # tokens of the prompts; more than a window and a chunk
NEW_TOKENS = 24
CAPACITY = max(PROMPTS) + NEW_TOKENS + 64
TOLERANCE = 1e-3  # of the logits, relative to the largest
SHAPES = ("autoregressive", "chain", "fixed_tree", "dynatree", "cost_aware")


@dataclass(frozen=True)
class Text:
    """A text of ``generate``.

    Attributes:
        prompt: token ids.
        tokens: the new tokens.
        logits: [new tokens, vocabulary] that they were chosen from.
    """

    prompt: list[int]
    tokens: list[int]
    logits: torch.Tensor


@dataclass
class Verdict:
    """The result of a proof.

    Attributes:
        mode: how forward passes run; None if the model is refused.
        reason: why the model, or trees for it, are refused.
        compression: why its caches cannot be compressed; "" if they can, None if no proof was made.
    """

    mode: Mode | None
    reason: str = ""
    compression: str | None = None


def prove(config: PreTrainedConfig, kind: type[PreTrainedModel] | None = None) -> Verdict:
    """Return how a kind of model decodes exactly.

    Args:
        config: of the model; only its kind matters, not its sizes.
        kind: class of the model; None for the causal language model of the configuration.
    """
    if config.is_encoder_decoder:
        return Verdict(None, "its decoder reads the output of an encoder")
    with quiet():
        try:
            model = tiny_model(tiny_config(config), kind)
            texts = list(texts_of(model))
        except Exception as error:  # any class of transformers may fail in any way
            return Verdict(None, f"no small model of it generates: {line_of(error)}")
        differences = {}
        for mode in MODES:
            set_mode(model, mode)
            difference = first_difference(model, texts, trees=mode != "chain")
            if difference is None:
                return Verdict(mode, differences.get("eager", "") if mode == "chain" else "")
            differences[mode] = difference
    if getattr(config, "is_decoder", None) is False:
        return Verdict(None, "its tokens attend to later ones (is_decoder=False)")
    return Verdict(None, differences[MODES[-1]])


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings of transformers within the block."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.logging.set_verbosity(level)


def texts_of(model: PreTrainedModel) -> Iterator[Text]:
    """Yield texts that ``generate`` makes of random prompts."""
    generator = torch.Generator().manual_seed(1)
    vocabulary = model.config.get_text_config().vocab_size
    model.generation_config.eos_token_id = None
    for length in PROMPTS:
        prompt = torch.randint(4, vocabulary - 1, (1, length), generator=generator)
        with unscaled_frequencies(model):
            out = cast(Any, model).generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                pad_token_id=0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        tokens = out.sequences[0, length:].tolist()
        yield Text(prompt[0].tolist(), tokens, torch.stack(out.logits)[:, 0].float())


@torch.inference_mode()
def first_difference(
    model: PreTrainedModel, texts: list[Text], trees: bool, new_cache: Callable[[], DecodingCache] | None = None
) -> str | None:
    """Return where decoding first differs from known texts; None if it does not.

    Args:
        model: a small model.
        texts: the texts.
        trees: False for chains only.
        new_cache: makes the cache of a request; None for an ordinary one.
    """
    shapes = SHAPES if trees else SHAPES[:2]
    for number, text in enumerate(texts):
        for first in range(len(shapes)):
            try:
                with exclusive([model]):
                    runner = ModelRunner(model, "target", CAPACITY, cache=new_cache() if new_cache else None)
                    difference = _replay(runner, text, random.Random(7 * number + first), shapes, first)
            except Exception as error:  # attention and caches of any class may fail in any way
                return line_of(error)
            if difference:
                return f"{difference} of case {number + 1}"
    return None


def _replay(runner: ModelRunner, text: Text, choose: random.Random, shapes: tuple[str, ...], first: int) -> str | None:
    """Decode a text in rounds of different shapes; return the first difference."""
    model = runner.model
    difference = _compare(runner.forward(text.prompt, range(len(text.prompt)), last_only=True)[0], text, 0)
    runner.cache.keep(len(text.prompt), [])
    done, rounds = 1, first
    while done < NEW_TOKENS and difference is None:
        shape = shapes[rounds % len(shapes)]
        rounds += 1
        root = runner.length
        border = root == reading_again_length(model)
        limits = [NEW_TOKENS - done, runner.cache.capacity_left - 1, uniform_depth(model.config, root)]
        depth = 0 if border else min(one for one in limits if one is not None)
        tree = _draft(shape, text.tokens[done - 1 :], depth, choose)
        if border:
            runner.cache.keep(0, [])
            complete = [*text.prompt, *text.tokens[:done]]
            logits = runner.forward(complete, range(len(complete)), last_only=True)
        else:
            logits = _verify(runner, tree, root, by_levels=len(tree) > 1 and choose.random() < 0.3)
        true_tokens = [text.tokens[done + depth] if done + depth < NEW_TOKENS else -1 for depth in tree.depths]
        path = tree.accepted_path(true_tokens)
        for node in (0, *path):
            place = done + tree.depths[node]
            difference = difference or (_compare(logits[node], text, place, shape) if place < NEW_TOKENS else None)
        runner.cache.keep(root + 1, [root + one for one in path])
        done += len(path) + 1
    return difference


def _compare(logits: torch.Tensor, text: Text, place: int, shape: str = "prompt") -> str | None:
    expected = text.logits[place]
    found = logits.float()
    finite = expected.isfinite()
    gap = (found - expected)[finite].abs().max()
    if found.shape == expected.shape and gap <= TOLERANCE * expected[finite].abs().max().clamp(min=1):
        return None
    wrong = f"token {int(found.argmax())} instead of {text.tokens[place]}"
    return f"{shape}: {wrong} (logits differ by {gap:.1g}) at token {place + 1}"


def _verify(runner: ModelRunner, tree: TokenTree, root: int, by_levels: bool) -> torch.Tensor:
    """Return the logits of all nodes, from one forward pass or from one for each level, as a draft reads them."""
    positions = [root + depth for depth in tree.depths]
    if not by_levels:
        return runner.forward(tree.tokens, positions, tree.ancestors if len(tree) > 1 else None)
    logits: list[torch.Tensor] = []
    for depth in range(tree.depth + 1):
        level = [node for node in range(len(tree)) if tree.depths[node] == depth]
        visible = tree.ancestors[level, : level[-1] + 1] if depth else None
        tokens = [tree.tokens[node] for node in level]
        logits.append(runner.forward(tokens, [root + depth] * len(level), visible))
    return torch.cat(logits)


def _draft(shape: str, text: list[int], depth: int, choose: random.Random) -> TokenTree:
    """Return a tree below the first token of ``text`` that contains as much of the text as a draft guesses.

    Args:
        shape: name of a method.
        text: the root and its true successors.
        depth: number of tokens that the tree may be deep.
        choose: source of random numbers.
    """
    tree = TokenTree(text[0], 64)
    deepest = min(depth, {"autoregressive": 0, "chain": 5, "fixed_tree": 3}.get(shape, 8))
    level = [0]
    true_node: int | None = 0
    right = choose.randint(0, deepest) if deepest else 0
    for below in range(1, deepest + 1):
        parents, tokens, true_index = [], [], None
        for node in level:
            count = {"chain": 1, "fixed_tree": 2}.get(shape, choose.choice((0, 1, 2, 3)))
            children = choose.sample(range(4, 100), count)
            if node == true_node and below <= right and below < len(text):
                wrong = [one for one in children if one != text[below]]
                children = [*wrong[: max(0, count - 1)], text[below]]
                choose.shuffle(children)
                true_index = len(tokens) + children.index(text[below])
            parents += [node] * len(children)
            tokens += children
        if not tokens:
            break
        parents, tokens = parents[: tree.capacity_left], tokens[: tree.capacity_left]
        level = tree.add_level(parents, tokens, [0.0] * len(tokens))
        true_node = level[true_index] if true_index is not None and true_index < len(level) else None
    return tree


def line_of(error: Exception) -> str:
    """Return an error of any class in one line."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return text if isinstance(error, DynatreeError) else f"{type(error).__name__}: {text}"
