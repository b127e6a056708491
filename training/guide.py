"""Help for CTC: which third of which digit does a frame hear (stage 1), which letter may it write (stage 2)?

The script knows where it put each word, so it can say so. Without this help CTC needs many steps until the first
letters appear, and many more until THREE has two E. Both kinds of help fade out within each stage; what ends it is CTC
alone.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from training.speech import Clip
from training.vocabulary import BLANK, IDS, encode
from training.voices import DIGITS
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


def guide_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of logits (B, T, classes) over the frames (B, T) that have a target; 0 if none has one."""
    total = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / (targets != IGNORE).sum().clamp(min=1)


def letter_targets(clip: Clip, frames: int) -> torch.Tensor:
    """Class of each frame if every word's letters were spread evenly over it: letters, ``|`` in mid-pause, else blank.

    A double letter gets a blank between its halves: that is what CTC is slow to find out for the EE of THREE.

    Returns
    -------
    torch.Tensor
        int64 (frames,); -100 inside phrases.
    """
    targets = torch.full((frames,), BLANK)
    last = None  # last frame of the piece before
    for start, end, digit in clip.marks:
        if digit is None:
            first, final = max(0, (start - CENTRE) // HOP), min(frames - 1, (end - CENTRE) // HOP)
            targets[first : final + 1] = IGNORE
        else:
            letters = encode(DIGITS[digit].upper())
            places: list[int] = []
            for index, letter in enumerate(letters):
                place = round((start + (index + 0.5) / len(letters) * (end - start) - CENTRE) / HOP)
                if index:
                    place = max(place, places[-1] + (2 if letter == letters[index - 1] else 1))
                places.append(max(0, place))
            first, final = places[0], places[-1]
            for place, letter in zip(places, letters, strict=True):
                if place < frames:
                    targets[place] = letter
        if last is not None and first - last > 1:
            targets[(last + first) // 2] = IDS["|"]
        last = final
    return targets


class GuideHead(nn.Module):
    """Linear classifier of frames (B, T, D) into pieces; gives the mean cross-entropy where there is a target."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.linear = nn.Linear(hidden_size, PIECES)

    def forward(self, hidden_states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return guide_loss(self.linear(hidden_states.float()), targets)  # (B, T, D) -> (B, T, PIECES)


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
