"""Distillation of a small draft: the outer layers of its target, trained on the target's own predictions."""

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm
from transformers import PreTrainedModel

from dynatree.distillation.rollout import rollout_loss
from dynatree.distillation.tensor_files import fingerprint, read_origin, write_tensors
from dynatree.errors import DynatreeError
from dynatree.models.forward import hidden_states
from dynatree.models.state_embedding import StateEmbedding
from dynatree.models.trimmed_head import TrimmedHead, output_head, trim_vocabulary

CHECKPOINT_EVERY = 100  # steps
INITIAL_STD = 0.02  # of the weights that mix tokens into hidden states


@dataclass
class Recipe:
    """Hyper-parameters of a distillation.

    Attributes:
        layers: layers of the draft, taken from both ends of the target; from its end if it reads hidden states.
        vocabulary: tokens of the trimmed head: the most frequent labels.
        steps: optimizer steps.
        batch: sequences in a step.
        readings: readings of a draft that also reads hidden states, see :mod:`dynatree.distillation.rollout`; 0 for a
            draft of tokens alone.
        rate, head_rate: peak learning rates of the layers and of the head.
        seed: seed of the order of the batches.
        contexts: maximum number of contexts of the n-gram table, see :mod:`dynatree.distillation.ngram_counts`.
    """

    layers: int = 2
    vocabulary: int = 8192
    steps: int = 1000
    batch: int = 16
    readings: int = 0
    rate: float = 2e-3
    head_rate: float = 6e-4
    seed: int = 1
    contexts: int = 262144


def load_samples(folder: Path) -> dict[str, torch.Tensor]:
    """Return all shards of sampled text in ``folder``, concatenated.

    Raises:
        DynatreeError: ``folder`` holds fewer than two shards.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if len(paths) < 2:
        raise DynatreeError(f"{folder} holds {len(paths)} shards of sampled text; at least 2 are needed")
    shards = [load_file(path) for path in paths]
    return {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}


def frequent_tokens(labels: torch.Tensor, count: int, vocabulary: int) -> torch.Tensor:
    """Return the ``count`` most frequent ids in ``labels`` of any shape, in ascending order."""
    counts = torch.bincount(labels.flatten().long(), minlength=vocabulary)
    return counts.argsort(descending=True, stable=True)[:count].sort().values


def make_student(
    target: PreTrainedModel, layers: int, token_map: torch.Tensor, with_states: bool = False
) -> PreTrainedModel:
    """Return an untrained draft: some of the target's layers, its frozen embeddings, its norm and rows of its head.

    Args:
        target: a Llama model, which stays as it is.
        layers: layers of the draft.
        token_map: [tokens] increasing token ids of the trimmed head.
        with_states: True for a draft that reads hidden states of the target, which it first passes on unchanged.
    """
    total = target.config.num_hidden_layers
    first = 0 if with_states else math.ceil(layers / 2)
    chosen = [*range(first), *range(total - (layers - first), total)]
    config = copy.deepcopy(target.config)
    config.num_hidden_layers = layers
    student = copy.deepcopy(target)
    student.config = student.model.config = config
    student.model.layers = torch.nn.ModuleList(student.model.layers[index] for index in chosen)
    for index, layer in enumerate(student.model.layers):
        # torch types every attribute of a layer as a tensor or a module.
        layer.self_attn.layer_idx = index  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    trim_vocabulary(student, token_map)
    student.set_input_embeddings(target.get_input_embeddings())
    student.get_input_embeddings().requires_grad_(False)
    if with_states:
        embedding = StateEmbedding.of(student.get_input_embeddings(), config)
        torch.nn.init.normal_(embedding.mix.weight, std=INITIAL_STD, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            embedding.mix.weight[:, config.hidden_size :] += torch.eye(config.hidden_size)
        student.set_input_embeddings(embedding)
    return student


def copy_weights(student: PreTrainedModel, draft: PreTrainedModel) -> None:
    """Copy the weights of a draft into a student of the same size, and the rows of the tokens that both heads score.

    Raises:
        DynatreeError: the two have different layers.
    """
    ours, theirs = output_head(student), output_head(draft)
    assert isinstance(ours, TrimmedHead), "make_student() trims the head"
    if not isinstance(theirs, TrimmedHead) or student.config.num_hidden_layers != draft.config.num_hidden_layers:
        raise DynatreeError(
            f"a draft of {student.config.num_hidden_layers} layers cannot start from one of "
            f"{draft.config.num_hidden_layers}; choose as many layers"
        )
    student.base_model.load_state_dict(draft.base_model.state_dict())
    shared = torch.isin(ours.token_map, theirs.token_map)
    rows = torch.searchsorted(theirs.token_map, ours.token_map[shared])
    with torch.no_grad():
        ours.weight[shared] = theirs.weight[rows]


def distill(
    target: PreTrainedModel,
    samples: dict[str, torch.Tensor],
    recipe: Recipe,
    checkpoint: Path,
    start: PreTrainedModel | None = None,
) -> PreTrainedModel:
    """Train a draft; an interrupted run of the same arguments continues from ``checkpoint``.

    Args:
        target: the model whose layers the draft starts from.
        samples: result of :func:`load_samples`.
        recipe: hyper-parameters.
        checkpoint: safetensors file, written every ``CHECKPOINT_EVERY`` steps.
        start: an earlier draft for the same target, from whose weights the training starts; None to start from the
            target's layers.

    Returns:
        The trained draft.
    """
    token_map = frequent_tokens(samples["labels"], recipe.vocabulary, target.config.get_text_config().vocab_size)
    student = make_student(target, recipe.layers, token_map, recipe.readings > 0).train()
    made_from = asdict(recipe) | {"samples": fingerprint(samples), "target": fingerprint(target.state_dict())}
    if start is not None:
        copy_weights(student, start)
        made_from["start"] = fingerprint(dict(start.named_parameters()))
    row_of = torch.full((target.config.get_text_config().vocab_size,), -1)  # row of the head, -1 for none
    row_of[token_map] = torch.arange(len(token_map))
    head = output_head(student)
    assert isinstance(head, TrimmedHead), "make_student() trims the head"
    body = [p for n, p in student.named_parameters() if p.requires_grad and p is not head.weight]
    optimizer = torch.optim.AdamW([{"params": body}, {"params": [head.weight]}], betas=(0.9, 0.98))
    batches = _batches(len(samples["tokens"]), recipe)
    first = _resume(checkpoint, student, optimizer, made_from)
    progress = tqdm(range(first, recipe.steps), initial=first, total=recipe.steps, desc="distilling", unit="step")
    for step in progress:
        for group, peak in zip(optimizer.param_groups, (recipe.rate, recipe.head_rate), strict=True):
            group["lr"] = peak * _cosine(step, recipe.steps)
        rows = batches[step]
        batch = {name: tensor[rows] for name, tensor in samples.items()}
        labels = row_of[batch["labels"].long()]  # [sequences, length]
        if recipe.readings:
            loss = rollout_loss(student, head.rows, batch, labels, recipe.readings)
        else:
            loss = _loss(student, head, batch["tokens"], labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(body, 1.0)
        optimizer.step()
        progress.set_postfix(loss=f"{loss.item():.3f}")
        if (step + 1) % CHECKPOINT_EVERY == 0:
            _save(checkpoint, step + 1, student, optimizer, made_from)
    return student.eval()


def _loss(student, head: TrimmedHead, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the target's argmax, over the positions where the head can express it."""
    known = labels >= 0
    hidden = hidden_states(student, tokens.long())
    logits = head.trimmed(hidden[known])  # [positions, head rows]
    return torch.nn.functional.cross_entropy(logits, labels[known])


def _cosine(step: int, steps: int) -> float:
    """Share of the peak rate at a step: linear warm-up, then a cosine down to 2 %."""
    warm_up = max(1, steps // 25)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _batches(sequences: int, recipe: Recipe) -> list[torch.Tensor]:
    """Row indices of every step: epochs in an order fixed by the seed."""
    generator = torch.Generator().manual_seed(recipe.seed)
    batches: list[torch.Tensor] = []
    while len(batches) < recipe.steps:
        batches += torch.randperm(sequences, generator=generator).split(recipe.batch)
    return batches


def _trainable(student) -> list[torch.nn.Parameter]:
    return [p for p in student.parameters() if p.requires_grad]


def _save(path: Path, step: int, student, optimizer, made_from: dict) -> None:
    tensors = {"step": torch.tensor(step)}
    for index, parameter in enumerate(_trainable(student)):
        state = optimizer.state[parameter]
        tensors |= {
            f"{index}.value": parameter.detach(),
            f"{index}.exp_avg": state["exp_avg"],
            f"{index}.exp_avg_sq": state["exp_avg_sq"],
        }
    write_tensors(path, tensors, made_from)


def _resume(path: Path, student, optimizer, made_from: dict) -> int:
    """Restore the latest checkpoint of the same arguments, if any, and return the next step."""
    if read_origin(path) != made_from:
        return 0
    tensors = load_file(path)
    step = int(tensors["step"])
    for index, parameter in enumerate(_trainable(student)):
        with torch.no_grad():
            parameter.copy_(tensors[f"{index}.value"])
        optimizer.state[parameter] = {
            "step": torch.tensor(float(step)),
            "exp_avg": tensors[f"{index}.exp_avg"],
            "exp_avg_sq": tensors[f"{index}.exp_avg_sq"],
        }
    return step
