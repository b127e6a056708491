"""Which weights belong where: the names of every era, the head that a checkpoint has, and every key accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from w2vlearn.checkpoints.files import CheckpointError

__all__ = ["HEADS", "choose_head", "fit_keys", "refuse_other_architectures"]

HEADS = {
    "plain": "Wav2Vec2Model",
    "ctc": "Wav2Vec2ForCTC",
    "pretraining": "Wav2Vec2ForPreTraining",
    "classification": "Wav2Vec2ForSequenceClassification",
}
_RETIRED = {"Wav2Vec2ForMaskedLM": "ctc"}  # the first name of the CTC class, still in old config files
_BODY = ("feature_extractor.", "feature_projection.", "encoder.", "masked_spec_embed", "adapter.")
_HEAD_KEYS = {"ctc": ("lm_head.",), "pretraining": ("quantizer.", "project_q.", "project_hid.")}
_HEAD_KEYS["classification"] = ("projector.", "classifier.", "layer_weights")
_FIRST_WEIGHT = "feature_extractor.conv_layers.0.conv.weight"  # every wav2vec 2.0 has it: tells the encoder's prefix
_TIME_MASK_VECTOR = "masked_spec_embed"  # stands in for masked frames: read in training only

_OTHER_MODELS = {
    "whisper": "Whisper, which reads log-mel frames and writes text with a decoder",
    "wav2vec2-bert": "w2v-BERT 2.0, which reads log-mel frames, not waveforms",
    "wav2vec2-conformer": "wav2vec 2.0 with Conformer layers",
    "hubert": "HuBERT",
    "wavlm": "WavLM",
    "data2vec-audio": "data2vec",
    "unispeech": "UniSpeech",
    "unispeech-sat": "UniSpeech-SAT",
    "sew": "SEW",
    "sew-d": "SEW-D",
    "speecht5": "SpeechT5",
    "seamless_m4t": "SeamlessM4T",
    "seamless_m4t_v2": "SeamlessM4T v2",
    "speech-encoder-decoder": "a speech encoder with a text decoder",
    "mctct": "M-CTC-T",
    "encodec": "EnCodec",
    "bert": "BERT, a model of text",
}


def refuse_other_architectures(values: dict, source: str) -> None:
    """Raise, by name, if a ``config.json`` is that of another architecture.

    Raises
    ------
    CheckpointError
        Names the architecture that was found, and what reads it.
    """
    model_type = values.get("model_type", "wav2vec2")
    if model_type != "wav2vec2":
        name = _OTHER_MODELS.get(model_type, f"a {model_type!r} model")
        raise CheckpointError(
            f"{source} is {name}; load reads wav2vec 2.0 (model_type 'wav2vec2'). "
            "Load it with its own library: trace(model, batch) works on any model"
        )


def choose_head(architectures: Iterable[str] | None, keys: Iterable[str], head: str | None, source: str) -> str:
    """Which of `HEADS` to build: what was asked for, else what ``config.json`` names, else what the keys show."""
    if head is not None:
        if head not in HEADS:
            raise CheckpointError(f"head must be one of {', '.join(HEADS)}, found {head!r}")
        return head
    for name in architectures or ():
        for kind, class_name in HEADS.items():
            if name == class_name:
                return kind
        if name in _RETIRED:
            return _RETIRED[name]
        raise CheckpointError(
            f"{source} is a {name}, a head that is not part of this model; its encoder loads with load(…, head='plain')"
        )
    keys = list(keys)
    for kind, prefixes in _HEAD_KEYS.items():
        if any(key.startswith(prefixes) for key in keys):
            return kind
    return "plain"


def modern_name(key: str) -> str:
    """A key as torch writes it today: until 2.1 weight norm called its parts ``weight_g`` and ``weight_v``."""
    for old, new in (("weight_g", "weight.original0"), ("weight_v", "weight.original1")):
        if key.endswith(f".{old}"):
            return f"{key.removesuffix(old)}parametrizations.{new}"
    return key


def fit_keys(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: str, source: str, drop_heads: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the model's own names, every key accounted for.

    Parameters
    ----------
    weights : mapping of str to Tensor
        As stored, names of any era, the encoder's under any prefix: ``wav2vec2.``, ``module.``, none.
    wanted : mapping of str to Tensor
        The model's ``state_dict()``; only names and shapes are read.
    head : str
        A key of `HEADS`.
    drop_heads : bool
        For ``"plain"``: leave out whatever is no part of the encoder instead of calling it unexpected.

    Returns
    -------
    dict of str to Tensor, list of str
        The weights, and in words what was left out or may be missing.

    Raises
    ------
    CheckpointError
        If a key is missing, unexpected, wrongly shaped, or there twice; the message lists them all.

    Notes
    -----
    The one allowance besides: ``masked_spec_embed``, the vector that replaces masked frames in training. Checkpoints of
    2021 lack it (facebook/wav2vec2-base-960h among them), others keep it although their config masks nothing.
    """
    named: dict[str, Tensor] = {}
    notes: list[str] = []
    outside = set()  # keys that are no part of the encoder
    prefix = next((key.removesuffix(_FIRST_WEIGHT) for key in weights if key.endswith(_FIRST_WEIGHT)), "")
    outer = prefix.removesuffix("wav2vec2.")  # "module." of a model saved from DataParallel
    for stored, tensor in weights.items():
        key = modern_name(stored)
        inner = key.removeprefix(prefix)
        if key.startswith(prefix) and inner.startswith(_BODY):
            key = inner if head == "plain" else f"wav2vec2.{inner}"
        else:
            key = key.removeprefix(outer)
            outside.add(key)
            if drop_heads:
                continue
        if key in named:
            raise CheckpointError(f"{source} holds {key} twice, under an old and a new name", unexpected=[stored])
        named[key] = tensor
    if drop_heads and outside:
        notes.append(f"the head was left out, as asked: {', '.join(sorted(outside))}")
    _allow_time_mask_vector(named, wanted, notes)
    _account(named, wanted, head, source, outside)
    return named, notes


def _allow_time_mask_vector(named: dict[str, Tensor], wanted: Mapping[str, Tensor], notes: list[str]) -> None:
    for key in {key for key in (*named, *wanted) if key.split(".")[-1] == _TIME_MASK_VECTOR}:
        if key in wanted and key not in named:
            named[key] = wanted[key].new_zeros(wanted[key].shape, device="cpu")
            notes.append(f"{key} is not stored and was set to 0: only training with time masks reads it")
        elif key in named and key not in wanted:
            del named[key]
            notes.append(f"{key} was left out: this config masks nothing in training")


def _account(
    named: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: str, source: str, outside: set[str]
) -> None:
    missing = sorted(wanted.keys() - named.keys())
    unexpected = sorted(named.keys() - wanted.keys())
    misshaped = sorted(key for key in wanted.keys() & named.keys() if wanted[key].shape != named[key].shape)
    if not (missing or unexpected or misshaped):
        return
    lines = [f"{source} does not fit {HEADS[head]} as its config.json describes it:"]
    lines += [f"  missing: {key} {tuple(wanted[key].shape)}" for key in missing]
    lines += [f"  unexpected: {key} {tuple(named[key].shape)}" for key in unexpected]
    lines += [
        f"  wrong shape: {key} is {tuple(named[key].shape)}, wanted {tuple(wanted[key].shape)}" for key in misshaped
    ]
    if any("post_extract_proj" in key for key in unexpected):
        lines.append(
            "  (names such as post_extract_proj are fairseq's: convert the checkpoint to Hugging Face's format)"
        )
    encoder = {key for key in wanted if head == "plain" or key.startswith("wav2vec2.")}
    encoder_fits = named.keys() - outside == encoder and not encoder & set(misshaped)
    if encoder_fits:
        lines.append("  (the encoder fits: load(…, head='plain') loads it and leaves the head out)")
    raise CheckpointError("\n".join(lines), missing=missing, unexpected=unexpected, misshaped=misshaped)
