"""Random weights, drawn as Hugging Face draws them (``modeling_wav2vec2.py``, ``_init_weights``)."""

from __future__ import annotations

import torch
from torch import nn

from w2vlearn.model.feature_projection import Wav2Vec2FeatureProjection
from w2vlearn.model.positional_embedding import Wav2Vec2PositionalConvEmbedding
from w2vlearn.model.quantizer import Wav2Vec2GumbelVectorQuantizer

__all__ = ["initialise"]


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Draw all weights of ``model`` anew, in place: Linear N(0, 0.02), convolutions Kaiming, norms 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight.normal_(0.0, 0.02)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Conv1d) and not hasattr(module, "parametrizations"):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                bound = (module.groups / (module.in_channels * module.kernel_size[0])) ** 0.5
                module.bias.uniform_(-bound, bound)
    for module in model.modules():  # parts with a rule of their own come last and overwrite the general ones
        if isinstance(module, Wav2Vec2FeatureProjection):
            bound = module.projection.in_features**-0.5
            module.projection.weight.uniform_(-bound, bound)
            module.projection.bias.uniform_(-bound, bound)
        elif isinstance(module, Wav2Vec2PositionalConvEmbedding):
            conv = module.conv
            std = 2 * (1 / (conv.kernel_size[0] * conv.in_channels)) ** 0.5
            conv.weight = torch.empty_like(conv.weight).normal_(0.0, std)  # weight norm splits it into g and v
            conv.bias.zero_()
        elif isinstance(module, Wav2Vec2GumbelVectorQuantizer):
            module.weight_proj.weight.normal_(0.0, 1.0)
            module.codevectors.uniform_()
