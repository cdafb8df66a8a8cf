"""Load models from folders or the hub: safetensors only, never remote code."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.draft_config import BORROWED, READS_STATES, borrowing_entry, draft_reads_states
from dynatree.models.eagle import is_eagle, load_eagle
from dynatree.models.graphs import suits_graphs, use_graphs
from dynatree.models.int8_weight_only import quantize
from dynatree.models.kernels.backend import faster_in_small_batches, use_small_batches
from dynatree.models.ngram_table import load_table, table_in
from dynatree.models.pair import ModelPair
from dynatree.models.state_embedding import StateEmbedding, token_embeddings
from dynatree.models.trimmed_head import TrimmedHead, output_head, trim_vocabulary
from dynatree.utils.files import write_bytes, write_text

BACKENDS = ("stock", "small_batch", "graphs", "auto")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def load_pair(
    target: str | Path,
    draft: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    draft_tokens: list[int] | None = None,
    backend: str = "auto",
    device_map: str | None = None,
    ngram_table: str | Path | None = None,
) -> ModelPair:
    """Load a target, its tokenizer and, if named, its draft.

    Args:
        target: folder or hub id of the target.
        draft: folder or hub id of the draft; None for no draft.
        device: "auto" for CUDA if available, otherwise the CPU; or a torch device.
        dtype: "auto" for float16 on CUDA and float32 on the CPU; the name of a torch floating-point type; or "int8"
            for a target with int8 weights, whose activations, like the draft, are float16 on CUDA and bfloat16 on the
            CPU.
        draft_tokens: trim the draft's output vocabulary to these token ids.
        backend: "stock" for the layers of torch; "small_batch" for kernels that multiply a few rows at the read
            bandwidth of the machine, see :mod:`dynatree.models.kernels.backend`, in float32 on the CPU; "graphs" for
            recorded forward passes on CUDA, see :func:`dynatree.use_graphs`; "auto" for graphs on CUDA where the
            models permit them, and on the CPU for the faster layers in a short measurement of each model.
        device_map: spreads the layers of the target over devices, as accelerate does, for example "auto"; None for
            ``device`` alone. The draft stays on ``device``.
        ngram_table: file of an n-gram table of the target; None for that in the folder of the draft, if it has one.

    Returns:
        The pair, ready to decode.

    Raises:
        DynatreeError: a model cannot be loaded, or the two do not fit.
    """
    if backend not in BACKENDS:
        raise DynatreeError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    if draft is None and draft_tokens is not None:
        raise DynatreeError(
            "draft_tokens limits the tokens of a draft, but there is none; name a draft or leave it out"
        )
    place = _device(device)
    number_format = _number_format(dtype, place)
    target_model = load_model(target, "target", place, number_format, device_map)
    if dtype == "int8":
        quantize(target_model)
    tokenizer = load_tokenizer(target)
    draft_model = None
    if draft is not None:
        draft_model = load_draft(draft, target_model, place, number_format)
        check_tokenizers(tokenizer, target, draft)
        if draft_tokens is not None:
            trim_vocabulary(draft_model, draft_tokens)
    table = None
    if ngram_table is not None:
        table = load_table(ngram_table)
    elif draft is not None:
        table = table_in(draft)
    pair = ModelPair(target_model, draft_model, tokenizer, table)
    for model in pair.models.values():
        if backend == "small_batch" or (backend == "auto" and faster_in_small_batches(model)):
            use_small_batches(model)
    if backend == "graphs" or (backend == "auto" and suits_graphs(pair)):
        use_graphs(pair)
    return pair


def parameter_count(model: PreTrainedModel) -> int:
    """Return the number of parameters, tied ones once, as if the layers were those of torch; int8 ones list none."""
    head = output_head(model)
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(model.config)
        if isinstance(head, TrimmedHead):
            plain.set_output_embeddings(torch.nn.Linear(model.config.hidden_size, len(head.token_map), bias=False))
        if isinstance(model.get_input_embeddings(), StateEmbedding):
            plain.set_input_embeddings(StateEmbedding.of(plain.get_input_embeddings(), model.config))
        return plain.num_parameters()


def load_model(
    name: str | Path, role: str, device: torch.device, dtype: torch.dtype, device_map: str | None = None
) -> PreTrainedModel:
    """Load a causal language model from safetensors.

    Args:
        name: folder or hub id.
        role: "target" or "draft", for messages.
        device, dtype: of the weights.
        device_map: see :func:`load_pair`.

    Raises:
        DynatreeError: the checkpoint is missing, damaged or incomplete, or its quantization needs another package or
            device.
    """
    spread = {} if device_map is None else {"device_map": device_map}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, use_safetensors=True, trust_remote_code=False, low_cpu_mem_usage=True, **spread
        )
        if device_map is None:
            model.to(device)  # pyright: ignore[reportArgumentType]  transformers hides the type of `to`
    except ImportError as error:
        raise DynatreeError(f"cannot load the {role} {name} on this machine: {_first_line(error)}") from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DynatreeError(
            f"cannot load the {role} {name}: {_first_line(error)}; is it a complete checkpoint?"
        ) from error
    return model.eval()


def load_tokenizer(name: str | Path):
    """Load the tokenizer of a model; raise a DynatreeError if it is missing or damaged."""
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DynatreeError(f"cannot load the tokenizer of {name}: {_first_line(error)}") from error


def load_draft(name: str | Path, target: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Load a draft: any causal language model, one saved by :func:`save_borrowing_draft`, or a head of EAGLE.

    Args:
        name: folder or hub id.
        target: its target, whose embeddings it may borrow.
        device, dtype: of the weights.

    Raises:
        DynatreeError: the checkpoint is missing, damaged, or was made for another target.
    """
    if borrowing_entry(name) is None:
        if is_eagle(Path(name)):
            return load_eagle(Path(name), target, device, dtype)
        return load_model(name, "draft", device, dtype)
    return _load_borrowing_draft(Path(name), target, device, dtype)


def save_borrowing_draft(draft: PreTrainedModel, folder: Path) -> None:
    """Save the layers, norm, head and token map of a draft with a trimmed head, in float16.

    The embeddings are not stored; :func:`load_draft` takes them from the target.

    Args:
        draft: a draft that shares its target's embeddings.
        folder: created if missing.
    """
    head = output_head(draft)
    assert isinstance(head, TrimmedHead), "only a draft with a trimmed head borrows embeddings"
    embedding = draft.get_input_embeddings()
    entry = {"output_tokens": len(head.token_map), READS_STATES: isinstance(embedding, StateEmbedding)}
    config = draft.config.to_dict() | {"dtype": "float16", BORROWED: entry}
    write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")
    embeddings = {id(parameter) for parameter in token_embeddings(draft).parameters()}
    tensors = {name: p.detach().half() for name, p in draft.named_parameters() if id(p) not in embeddings}
    tensors["lm_head.weight"] = tensors.pop("lm_head.rows.weight")
    tensors["lm_head.token_map"] = head.token_map.int()
    write_bytes(folder / "model.safetensors", save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _load_borrowing_draft(folder: Path, target: PreTrainedModel, device, dtype) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder)
    size = (config.vocab_size, config.hidden_size)
    embeddings = target.get_input_embeddings()
    found = tuple(embeddings.get_parameter("weight").shape)
    if found != size:
        raise DynatreeError(
            f"the draft {folder} borrows embeddings of shape {size}, but this target's are {found}; "
            "it was made for another target"
        )
    try:
        tensors = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise DynatreeError(f"the draft file {folder}/model.safetensors is missing or damaged; restore it") from error
    token_map = tensors.pop("lm_head.token_map").long()
    draft = AutoModelForCausalLM.from_config(config, dtype=dtype)
    head = tensors.pop("lm_head.weight")
    draft.set_output_embeddings(TrimmedHead(head.to(dtype), token_map, config.vocab_size))
    if draft_reads_states(folder):
        embeddings = StateEmbedding.of(embeddings, config)
    draft.set_input_embeddings(embeddings)
    missing, unexpected = draft.load_state_dict(tensors, strict=False)
    given = ("lm_head.rows.weight", "lm_head.token_map", "embed_tokens.weight", "embed_tokens.tokens.weight")
    missing = [name for name in missing if not name.endswith(given)]
    if missing or unexpected:
        raise DynatreeError(f"the draft {folder} does not fit its config: {(missing + unexpected)[0]}; restore it")
    return draft.to(device=device, dtype=dtype).eval()


def check_tokenizers(tokenizer, target: str | Path, draft: str | Path) -> int:
    """Raise if the draft's tokenizer, if any, contradicts the target's.

    Tokens that only one of them has, such as added ones, do no harm: the draft never proposes a token that it lacks.

    Args:
        tokenizer: the target's.
        target, draft: folders or hub ids.

    Returns:
        The number of tokens that both have.

    Raises:
        DynatreeError: a token has different ids, or an id stands for different tokens.
    """
    ours = tokenizer.get_vocab()
    if Path(draft).is_dir() and not has_tokenizer(Path(draft)):
        return len(ours)
    theirs = load_tokenizer(draft).get_vocab()
    ids = {index: token for token, index in theirs.items()}
    for token, index in sorted(ours.items(), key=lambda item: item[1]):
        if theirs.get(token, index) != index or ids.get(index, token) != token:
            raise DynatreeError(
                f"the tokenizers of {target} and {draft} differ: {token!r} is {index} in one and "
                f"{theirs.get(token)} in the other; choose a draft of the same family"
            )
    return len(ours.keys() & theirs.keys())


def has_tokenizer(folder: Path) -> bool:
    """Return True if a folder holds a tokenizer of its own."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise DynatreeError(
            f"device {name!r} is asked for, but torch {torch.__version__} finds no CUDA device; use a machine with one "
            "and a CUDA build of torch, or choose 'cpu'"
        )
    return torch.device(name)


def _number_format(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name == "int8":
        return torch.float16 if device.type == "cuda" else torch.bfloat16
    number_format = getattr(torch, name, None)
    if not isinstance(number_format, torch.dtype) or not number_format.is_floating_point:
        raise DynatreeError(
            f"dtype must be 'auto', 'int8' or a torch floating-point type such as float32, not {name!r}"
        )
    return number_format


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
