"""The one visual language: a colour and a name per stage, a hatch per kind of emptiness, and a lock.

Colours help and never carry meaning alone: every picture and table also prints the stage's name, and every hatch has a
legend. Text is never coloured; it follows the theme (``currentColor``), so its contrast is the theme's own.

Sources: Okabe and Ito, "Color Universal Design" (2008), for the colours; WCAG 2.2, 1.4.3 and 1.4.11, for contrast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Stage:
    """One stage on the way from samples to logits."""

    key: str  # short name for code: "projection"
    name: str  # what a picture or table prints: "feature projection"
    colour: str  # "#rrggbb" for fills, strokes and markers only; "currentColor" for a stage without one


WAVEFORM = Stage("waveform", "waveform", "#808080")
FEATURE_ENCODER = Stage("feature_encoder", "feature encoder", "#0072B2")
PROJECTION = Stage("projection", "feature projection", "#E69F00")
POSITIONS = Stage("positions", "positions", "#009E73")
TRANSFORMER = Stage("transformer", "Transformer", "#CC79A7")
HEAD = Stage("head", "head", "#D55E00")
MASK = Stage("mask", "mask step", "currentColor")
MODEL = Stage("model", "whole model", "currentColor")

STAGES: tuple[Stage, ...] = (WAVEFORM, FEATURE_ENCODER, PROJECTION, POSITIONS, TRANSFORMER, HEAD)
"""The six stages that have a colour, in the order in which a clip passes them."""

LOCK = "🔒"  # beside every size that no length can move
# The same for HTML: drawn, for a machine without an emoji font shows an empty box.
LOCK_SVG = (
    '<svg aria-hidden="true" viewBox="0 0 12 14" style="height:0.9em;vertical-align:-0.1em"><path d="M3,6V4a3,3 0 0 1 '
    '6,0V6" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M1,6h10v8h-10z" fill="currentColor"/></svg>'
)
WARNING = "⚠"  # beside a layer that mixes along time and was handed no mask
MIXES_UNMASKED = f"none {WARNING} mixes time"

# Parts of a module's dotted name, in the libraries that carry this architecture, and the stage they belong to. Order
# matters: "encoder.pos_conv_embed" is positions although it lies in the encoder, so narrow names come before wide ones.
_PARTS: tuple[tuple[Stage, str], ...] = (
    (
        HEAD,
        r"lm_head|ctc_head|classifier|projector|quantizer|project_q|project_hid|final_proj|aux|adapter|proj_head"
        r"|feature_extractor_dropout|dropout_features|label_embs_concat|feature_layer|objective|tdnn|logit_generator",
    ),
    (POSITIONS, r"pos_conv_embed|pos_conv|pos_conv_layer|embed_positions|positional_embedding|positions"),
    (PROJECTION, r"feature_projection|post_extract_proj|projection_in"),
    (FEATURE_ENCODER, r"feature_extractor|feature_encoder|conv_layers|conv_feature_layers"),
    (TRANSFORMER, r"encoder|transformer|layers|attention|self_attn|feed_forward"),
)
_CLASSES = (  # part of the class's name, where the module's says nothing
    (HEAD, "quantizer"),
    (POSITIONS, "positional"),
    (PROJECTION, "feature ?projection"),
    (FEATURE_ENCODER, "feature ?(encoder|extractor)"),
)


@lru_cache(4096)
def stage_of(name: str, type_name: str = "") -> Stage:
    """Stage that a module belongs to, read from the parts of its dotted name.

    Parameters
    ----------
    name : str
        Module name such as ``"wav2vec2.encoder.layers.0.attention"``; also that of a mask step ("sample mask -> ...").
    type_name : str
        Class name, used where the name says nothing; ``"mask step"`` for mask steps.

    Returns
    -------
    Stage
        ``MODEL`` for the whole model and for what no rule knows.
    """
    if type_name == "mask step" or "->" in name:
        return MASK
    parts = [part for part in name.split(".") if part]
    for stage, pattern in _PARTS:
        if any(re.fullmatch(pattern, part) for part in parts):
            return stage
    matches = (stage for stage, pattern in _CLASSES if parts and re.search(pattern, type_name, re.I))
    return next(matches, MODEL)


def marker(stage: Stage) -> str:
    """A small square in the stage's colour for HTML, outlined so that it is seen on every background; decoration."""
    if stage not in STAGES:
        return ""
    return (
        '<span aria-hidden="true" style="display:inline-block;width:0.7em;height:0.7em;margin-right:0.5em;'
        f'background:{stage.colour};border:1px solid currentColor"></span>'
    )


# ---------------------------------------------------------------------------------------------------- hatches

HATCHES: dict[str, str] = {
    "padding": "diagonal lines: padding",
    "unread": "dots: read by no frame",
    "time_mask": "cross-hatched: time mask",
}
"""What each hatch means, in the words of a legend. Valid is solid and needs no entry."""

_HATCHING = {  # size of the tile, drawing
    "padding": (6, '<path d="M-1.5,1.5 l3,-3 M0,6 l6,-6 M4.5,7.5 l3,-3" stroke="currentColor" stroke-width="1"/>'),
    "unread": (4, '<circle cx="2" cy="2" r="0.9" fill="currentColor"/>'),
    "time_mask": (6, '<path d="M0,0 l6,6 M0,6 l6,-6" stroke="currentColor" stroke-width="1"/>'),
}


def svg_pattern(kind: str, identifier: str) -> str:
    """SVG ``<pattern>`` for one of `HATCHES`, in the theme's own colour; refer to it by ``fill="url(#identifier)"``."""
    size, drawing = _HATCHING[kind]
    return (
        f'<pattern id="{identifier}" width="{size}" height="{size}" patternUnits="userSpaceOnUse">{drawing}</pattern>'
    )
