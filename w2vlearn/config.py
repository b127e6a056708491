"""What the architecture fixes, whatever the clips: channels, features, depth, kernels, strides.

Field names are those of Hugging Face's ``config.json``, so a checkpoint's file can be read as it is. Nothing here
depends on a clip's length: that is the point of the course.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

__all__ = ["PRESETS", "Wav2Vec2Config"]

PRESETS = ("base", "large", "large_lv60", "tiny")

# What a field must be, so that an error names the field and not a layer of torch
Size = int  # at least 1
Sizes = tuple[int, ...]  # one for each convolution, at least 1
Share = float  # 0 … 1
_CHOICES = {
    "feat_extract_norm": {"group": '"group" (BASE, LARGE)', "layer": '"layer" (LARGE_LV60)'},
    "attn_implementation": {"sdpa": '"sdpa"', "eager": '"eager"'},
    "ctc_loss_reduction": {"sum": '"sum"', "mean": '"mean"', "none": '"none"'},
}
_DIVIDES = {
    "num_attention_heads": "hidden_size",
    "num_conv_pos_embedding_groups": "hidden_size",
    "num_codevector_groups": "codevector_dim",
}


@dataclass(frozen=True)
class Wav2Vec2Config:
    """Sizes and switches of one wav2vec 2.0 model; the defaults are BASE.

    Attributes
    ----------
    conv_dim, conv_kernel, conv_stride : tuple of int
        Channels, kernel sizes (in positions of the layer's input) and strides of the feature encoder's convolutions.
        ``conv_dim[-1]`` is C = 512.
    feat_extract_norm : {"group", "layer"}
        "group": one GroupNorm after the first convolution, over each channel's whole time axis (BASE, LARGE).
        "layer": LayerNorm over the channels of each position, after every convolution (LARGE_LV60).
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        D = 768, depth, H heads, feed-forward width.
    do_stable_layer_norm : bool
        False: LayerNorm after each residual sum (post-norm). True: before each sub-layer (pre-norm, "stable").
    num_conv_pos_embeddings : int
        Kernel of the positional convolution, in frames (128 frames = 2.56 s).
    vocab_size, pad_token_id : int
        V, and the id that CTC uses as its blank.
    attn_implementation : {"sdpa", "eager"}
        Fused attention, or every step as its own line (the (B, H, T, T) weights then exist as a tensor).

    Raises
    ------
    ValueError
        If the values cannot make a model: tables of different length, heads that do not divide D, a stride of 0.

    Notes
    -----
    Source: wav2vec 2.0 paper, sections 2, 4.2 and table of appendix A; Hugging Face
    ``configuration_wav2vec2.py`` (``Wav2Vec2Config``); fairseq ``wav2vec2.py`` (``Wav2Vec2Config``).
    """

    # feature encoder
    conv_dim: Sizes = (512,) * 7
    conv_kernel: Sizes = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: Sizes = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: str = "group"
    # Transformer
    hidden_size: Size = 768
    num_hidden_layers: int = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3072
    do_stable_layer_norm: bool = False
    num_conv_pos_embeddings: Size = 128
    num_conv_pos_embedding_groups: Size = 16
    layer_norm_eps: float = 1e-5
    attn_implementation: str = "sdpa"
    # regularisation, active in train mode only
    feat_proj_dropout: Share = 0.0
    hidden_dropout: Share = 0.1
    activation_dropout: Share = 0.1
    attention_dropout: Share = 0.1
    final_dropout: Share = 0.1
    layerdrop: Share = 0.1
    # time and feature masks (SpecAugment, pre-training)
    apply_spec_augment: bool = True
    mask_time_prob: Share = 0.05
    mask_time_length: Size = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: Share = 0.0
    mask_feature_length: Size = 10
    mask_feature_min_masks: int = 0
    # quantizer and contrastive loss (pre-training)
    num_codevectors_per_group: Size = 320
    num_codevector_groups: Size = 2
    codevector_dim: Size = 256
    proj_codevector_dim: Size = 256
    feat_quantizer_dropout: Share = 0.0
    num_negatives: Size = 100
    contrastive_logits_temperature: float = 0.1
    diversity_loss_weight: float = 0.1
    # CTC head
    vocab_size: Size = 32
    pad_token_id: int = 0
    ctc_loss_reduction: str = "sum"
    ctc_zero_infinity: bool = False
    # classification head
    use_weighted_layer_sum: bool = False
    classifier_proj_size: Size = 256
    num_labels: Size = 2
    # adapter: strided convolutions after the Transformer
    add_adapter: bool = False
    adapter_kernel_size: Size = 3
    adapter_stride: Size = 2
    num_adapter_layers: int = 3
    output_hidden_size: Size | None = None

    def __post_init__(self):
        if self.output_hidden_size is None:
            object.__setattr__(self, "output_hidden_size", self.hidden_size)
        sizes = {}  # of the tables
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.type == "Sizes":
                value = tuple(int(size) for size in value)
                object.__setattr__(self, name, value)
                sizes[name] = len(value)
                if min(value, default=1) < 1:
                    raise ValueError(f"{name} must hold numbers of at least 1, found {value}")
            elif field.type.startswith("Size") and not (isinstance(value, Integral) and value >= 1):
                raise ValueError(f"{name} must be a whole number of at least 1, found {value!r}")
            elif field.type == "Share" and not (isinstance(value, Real) and 0 <= value <= 1):
                raise ValueError(f"{name} is a share, 0 … 1, found {value!r}")
        if len(set(sizes.values())) != 1 or not self.conv_dim:
            raise ValueError(
                f"each convolution needs a channel count, a kernel and a stride, but the tables have {sizes} entries; "
                "make conv_dim, conv_kernel and conv_stride equally long"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {' or '.join(choices.values())}, found {getattr(self, name)!r}")
        for name, whole in _DIVIDES.items():
            parts, total = getattr(self, name), getattr(self, whole)
            if total % parts:
                raise ValueError(f"{name} = {parts} must divide {whole} = {total}; each part gets an equal share")
        if self.add_adapter and self.adapter_kernel_size > 3:
            raise ValueError(
                f"adapter_kernel_size = {self.adapter_kernel_size}: at most 3, because each adapter layer pads with "
                "one frame on either side, and a clip of one frame would have nothing left"
            )

    @classmethod
    def base(cls) -> Wav2Vec2Config:
        """BASE: 12 layers, D = 768, group norm, post-norm (paper, section 4.2; 95 M parameters)."""
        return cls()

    @classmethod
    def large(cls) -> Wav2Vec2Config:
        """LARGE trained on LibriSpeech: 24 layers, D = 1024, group norm, post-norm."""
        return cls(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            codevector_dim=768,
            proj_codevector_dim=768,
        )

    @classmethod
    def large_lv60(cls) -> Wav2Vec2Config:
        """LARGE trained on Libri-Light: layer norm in the feature encoder, convolutions with bias, pre-norm."""
        return dataclasses.replace(cls.large(), feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)

    @classmethod
    def tiny(cls) -> Wav2Vec2Config:
        """TINY: BASE's geometry (400 samples, hop 320) with 24 channels, D = 48 and 2 layers; runs in milliseconds."""
        return cls(
            conv_dim=(24,) * 7,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=96,
            num_codevectors_per_group=20,
            codevector_dim=16,
            proj_codevector_dim=16,
            num_negatives=10,
            classifier_proj_size=16,
        )

    @classmethod
    def from_preset(cls, name: str) -> Wav2Vec2Config:
        """The preset called ``name``, one of :data:`PRESETS`; upper or lower case."""
        key = str(name).lower()
        if key not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
        return getattr(cls, key)()

    @classmethod
    def from_dict(cls, values: dict) -> Wav2Vec2Config:
        """Build from the dictionary of a Hugging Face ``config.json``; keys that do not shape the model are ignored.

        Raises
        ------
        ValueError
            If the dictionary describes another architecture (``model_type``), or a part that this model lacks.
        """
        model_type = values.get("model_type", "wav2vec2")
        if model_type != "wav2vec2":
            raise ValueError(
                f"this is a {model_type!r} model, w2vlearn's own model reads 'wav2vec2' configs only; "
                "trace(model, batch) works on other models as their own library loads them"
            )
        for key in ("hidden_act", "feat_extract_activation"):
            if values.get(key, "gelu") != "gelu":
                raise ValueError(f"{key} = {values[key]!r} is not part of this model: wav2vec 2.0 uses 'gelu'")
        if values.get("adapter_attn_dim") is not None:
            raise ValueError(
                f"adapter_attn_dim = {values['adapter_attn_dim']}: attention adapters (as in MMS) are not part of this "
                "model; load the checkpoint with transformers and trace it"
            )
        if "id2label" in values and "num_labels" not in values:
            values = {**values, "num_labels": len(values["id2label"])}
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known and value is not None})

    @classmethod
    def from_json(cls, path: str | Path) -> Wav2Vec2Config:
        """Read a Hugging Face ``config.json``, or the folder that holds one.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not JSON, or :meth:`from_dict` refuses it.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"no config at {path}: give a config.json or the folder that holds it")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON ({error}); expected a Hugging Face config.json") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} holds a {type(values).__name__}, expected a JSON object with the config's fields")
        return cls.from_dict(values)

    def to_dict(self) -> dict:
        """The fields as a dictionary that Hugging Face's ``Wav2Vec2Config(**…)`` takes too; tuples become lists."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        del values["attn_implementation"]
        return {"model_type": "wav2vec2", **values}
