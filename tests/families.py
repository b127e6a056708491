"""Small models of transformers' speech families, each built once in a session for all who test them."""

from __future__ import annotations

import warnings
from functools import cache

import pytest
import torch
from torch import nn

transformers = pytest.importorskip("transformers")

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
SMALL = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40, "vocab_size": 11,
    "conv_dim": [12] * 7, "conv_kernel": list(KERNELS), "conv_stride": list(STRIDES), "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "mask_time_length": 2,
    "num_codevector_groups": 2, "num_codevectors_per_group": 4, "codevector_dim": 8, "proj_codevector_dim": 8,
}  # fmt: skip
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
SEW = {
    "conv_dim": [12] * 13, "num_feat_extract_layers": 13, "squeeze_factor": 2,
    "conv_kernel": [10, 3, 1, 3, 1, 3, 1, 3, 1, 2, 1, 2, 1], "conv_stride": [5, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1],
}  # fmt: skip
FAMILIES = {  # name: class without "transformers.", what its config has otherwise than SMALL
    "wav2vec2 group norm": ("Wav2Vec2Model", {}),
    "wav2vec2 layer norm": ("Wav2Vec2Model", LAYER_NORM),
    "wav2vec2 eager attention": ("Wav2Vec2Model", {"attn_implementation": "eager"}),
    "wav2vec2 adapter": ("Wav2Vec2Model", {"add_adapter": True}),
    "wav2vec2 CTC": ("Wav2Vec2ForCTC", {}),
    "wav2vec2 pre-training": ("Wav2Vec2ForPreTraining", {}),
    "wav2vec2 classification": ("Wav2Vec2ForSequenceClassification", {"num_labels": 3}),
    "hubert": ("HubertModel", {}),
    "hubert layer norm CTC": ("HubertForCTC", LAYER_NORM),
    "wavlm": ("WavLMModel", {}),
    "data2vec": ("Data2VecAudioModel", {"num_conv_pos_embeddings": 3}),
    "unispeech": ("UniSpeechModel", {}),
    "sew": ("SEWModel", SEW),
    "conformer relative": ("Wav2Vec2ConformerModel", {"position_embeddings_type": "relative"}),
    "conformer rotary": ("Wav2Vec2ConformerModel", {"position_embeddings_type": "rotary"}),
}


@cache
def family(name: str) -> nn.Module:
    """The model of a family, random weights, eval mode. Shared: leave weights and mode as they are."""
    kind, changes = FAMILIES[name]
    cls = getattr(transformers, kind)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return cls(cls.config_class(**{**SMALL, **changes})).eval()
