"""Help for the first steps: which third of which digit does a frame hear? The head that learns it is thrown away.

The script knows where it put each word, so it can say so. Without this help CTC needs many steps until the
first letters appear.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from training.speech import Clip
from w2vlearn.model import Wav2Vec2ForCTC

PIECES = 1 + 10 * 3  # pause, and three thirds of ten digits
IGNORE = -100
HOP, CENTRE = 320, 200  # samples: BASE's geometry


def piece_targets(clip: Clip, frames: int) -> torch.Tensor:
    """Class of each frame's centre: 0 pause, 1 + 3 * digit + third; -100 inside phrases.

    Returns
    -------
    torch.Tensor
        int64 (frames,).
    """
    targets = torch.zeros(frames, dtype=torch.int64)
    centres = torch.arange(frames) * HOP + CENTRE
    for start, end, digit in clip.marks:
        inside = (centres >= start) & (centres < end)
        third = (centres[inside] - start) * 3 // (end - start)
        targets[inside] = IGNORE if digit is None else 1 + 3 * digit + third
    return targets


class GuideHead(nn.Module):
    """Linear classifier of frames (B, T, D) into pieces; gives the mean cross-entropy where there is a target."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.linear = nn.Linear(hidden_size, PIECES)

    def forward(self, hidden_states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = self.linear(hidden_states.float())  # (B, T, D) -> (B, T, PIECES)
        total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
        return total / (targets != IGNORE).sum().clamp(min=1)


@torch.no_grad()
def widen(model: Wav2Vec2ForCTC) -> None:
    """Draw the Transformer's Linear weights anew with standard deviation 1 / sqrt(inputs).

    Hugging Face's 0.02 suits D = 768 (1 / sqrt(768) = 0.036); for D = 128 it would leave the layers almost mute. The
    blank starts as the likeliest letter, as it is in the end.
    """
    model.lm_head.bias[model.config.pad_token_id] = 3.0
    for module in model.wav2vec2.encoder.modules():
        if isinstance(module, nn.Linear):
            module.weight.normal_(0.0, module.in_features**-0.5)
