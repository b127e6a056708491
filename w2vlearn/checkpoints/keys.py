"""Which weights belong where: the names of every era, the head that a checkpoint has, and every key accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from w2vlearn.checkpoints.files import CheckpointError

__all__ = ["HEADS", "choose_head", "fit_keys"]

HEADS = {
    "plain": "Wav2Vec2Model",
    "ctc": "Wav2Vec2ForCTC",
    "pretraining": "Wav2Vec2ForPreTraining",
    "classification": "Wav2Vec2ForSequenceClassification",
}
_OF_CLASS = {name: kind for kind, name in HEADS.items()}
_OF_CLASS["Wav2Vec2ForMaskedLM"] = "ctc"  # the first name of the CTC class, still in old config files
_HEAD_KEYS = {
    "ctc": ("lm_head.",),
    "pretraining": ("quantizer.", "project_q.", "project_hid."),
    "classification": ("projector.", "classifier.", "layer_weights"),
}
_TIME_MASK_VECTOR = "masked_spec_embed"  # stands in for masked frames: read in training only
_ENCODER = ("feature_extractor.", "feature_projection.", "encoder.", _TIME_MASK_VECTOR, "adapter.")
_FIRST_WEIGHT = "feature_extractor.conv_layers.0.conv.weight"  # every wav2vec 2.0 has it: tells the encoder's prefix


def choose_head(architectures: list[str] | None, keys: Iterable[str], head: str | None, source: str) -> str:
    """Which of `HEADS` to build: what was asked for, else what ``config.json`` names, else what the keys show."""
    if head is not None:
        if head not in HEADS:
            raise CheckpointError(f"head must be one of {', '.join(HEADS)}, found {head!r}")
        return head
    if architectures:
        if architectures[0] not in _OF_CLASS:
            raise CheckpointError(
                f"{source} is a {architectures[0]}, a head that is not part of this model; its encoder loads with "
                "load(…, head='plain')"
            )
        return _OF_CLASS[architectures[0]]
    shown = (kind for kind, prefixes in _HEAD_KEYS.items() if any(key.startswith(prefixes) for key in keys))
    return next(shown, "plain")


def modern_name(key: str) -> str:
    """A key as torch writes it today: until 2.1 weight norm called its parts ``weight_g`` and ``weight_v``."""
    for old, new in (("weight_g", "weight.original0"), ("weight_v", "weight.original1")):
        if key.endswith(f".{old}"):
            return f"{key.removesuffix(old)}parametrizations.{new}"
    return key


def fit_keys(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: str, source: str, drop_heads: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the model's own names, every key accounted for; and in words what was left out or is missing.

    ``weights`` have names of any era, the encoder's under any prefix: ``wav2vec2.``, ``module.``, none. Of ``wanted``,
    the model's ``state_dict()``, only names and shapes are read. With ``drop_heads``, what is no part of the encoder
    is left out instead of being called unexpected.

    The one allowance besides: ``masked_spec_embed``, the vector that replaces masked frames in training. Checkpoints of
    2021 lack it (facebook/wav2vec2-base-960h among them), others keep it although their config masks nothing.
    """
    named: dict[str, Tensor] = {}
    notes: list[str] = []
    outside = set()  # keys that are no part of the encoder
    prefix = next((key.removesuffix(_FIRST_WEIGHT) for key in weights if key.endswith(_FIRST_WEIGHT)), "")
    own_prefix = "" if head == "plain" else "wav2vec2."
    for stored, tensor in weights.items():
        key = modern_name(stored)
        inner = key.removeprefix(prefix)
        if key.startswith(prefix) and inner.startswith(_ENCODER):
            key = own_prefix + inner
        else:
            key = key.removeprefix(prefix.removesuffix("wav2vec2."))  # "module." of a model saved from DataParallel
            outside.add(key)
            if drop_heads:
                continue
        if key in named:
            raise CheckpointError(f"{source} holds {key} twice, under an old and a new name")
        named[key] = tensor
    if drop_heads and outside:
        notes.append(f"the head was left out, as asked: {', '.join(sorted(outside))}")
    vector = own_prefix + _TIME_MASK_VECTOR
    if vector in wanted and vector not in named:
        named[vector] = wanted[vector].new_zeros(wanted[vector].shape, device="cpu")
        notes.append(f"{vector} is not stored and was set to 0: only training with time masks reads it")
    elif vector in named and vector not in wanted:
        del named[vector]
        notes.append(f"{vector} was left out: this config masks nothing in training")
    _account(named, wanted, outside, own_prefix, f"{source} does not fit {HEADS[head]}")
    return named, notes


def _account(
    named: Mapping[str, Tensor], wanted: Mapping[str, Tensor], outside: set[str], own_prefix: str, problem: str
) -> None:
    """Raise, with a line for each key that is missing, unexpected or of another shape."""
    stored, expected = ({key: tuple(tensors[key].shape) for key in sorted(tensors)} for tensors in (named, wanted))
    if stored == expected:
        return
    lines = [f"{problem} as its config.json describes it:"]
    lines += [f"  missing: {key} {shape}" for key, shape in expected.items() if key not in stored]
    lines += [f"  unexpected: {key} {shape}" for key, shape in stored.items() if key not in expected]
    lines += [
        f"  wrong shape: {key} is {stored[key]}, wanted {shape}"
        for key, shape in expected.items()
        if stored.get(key, shape) != shape
    ]
    if any("post_extract_proj" in key for key in stored):
        lines.append("  (post_extract_proj is a name of fairseq's: convert the checkpoint to Hugging Face's format)")
    encoder = {key: shape for key, shape in expected.items() if key.startswith(own_prefix)}
    if encoder == {key: shape for key, shape in stored.items() if key not in outside}:
        lines.append("  (the encoder fits: load(…, head='plain') loads it and leaves the head out)")
    raise CheckpointError("\n".join(lines))
