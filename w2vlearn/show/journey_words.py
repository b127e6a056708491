"""The journey of a batch in words: the picture's description, and its twin in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2vlearn.show.facts import Journey, journey_facts


def journey_text(trace: Any) -> str:
    """The picture in words: every number that it shows.

    Returns
    -------
    str
        Sentences; ``""`` where the trace shows no batch of clips.
    """
    facts = journey_facts(trace)
    if facts is None:
        return ""
    many = len(facts.lengths)
    said = [
        f"{clips_in_words(many).capitalize()} of {in_words(facts.lengths)} samples "
        f"{'lie' if many > 1 else 'lies'} in one batch of shape ({many}, {facts.samples})"
        + (", the shorter ones padded." if facts.padded else ", nothing padded.")
    ]
    if facts.tower:
        steps = ", ".join(map(str, facts.tower))
        said.append(f"{len(facts.tower)} convolutions shorten {facts.samples} samples to {steps} positions.")
    said.append(f"So there are {facts.frames} frames (T), of which per clip {in_words(facts.real_frames)} are real.")
    if facts.unread is not None:
        said.append(f"At the clips' ends {in_words(facts.unread)} samples are read by no frame.")
    if facts.channels and facts.features:
        said.append(
            f"Each frame, on its own, is turned from {facts.channels} into {facts.features} features: both numbers are "
            "fixed by the config, no length moves them."
        )
    if facts.depth:
        said.append(f"{facts.depth} Transformer layers keep the shape ({many}, {facts.frames}, {facts.features}).")
    if facts.vocabulary:
        said.append(f"The head turns every frame into {facts.vocabulary} scores.")
    said.append(_attention_words(facts))
    if facts.group_norm:
        said.append("The feature encoder's group norm averages over each row's whole time axis, padding included.")
    return " ".join(said)


def _attention_words(facts: Journey) -> str:
    if facts.attention_mask is None:
        return "No attention mask was handed to the Transformer: every frame looks at every frame" + (
            ", padding included." if facts.padded else "."
        )
    if facts.attention_mask == "none":
        return "The attention mask was dropped because every frame is real."
    return (
        f"The attention mask is {facts.frames} x {facts.frames} per clip ({facts.attention_mask}): each frame looks at "
        f"the {in_words(facts.real_frames)} real frames of its clip only."
    )


def clips_in_words(many: int) -> str:
    """``"one clip"``, ``"3 clips"``."""
    return "one clip" if many == 1 else f"{many} clips"


def in_words(numbers: Sequence[int]) -> str:
    """``"49, 73 and 124"``; of more than eight, the first six and the last."""
    words = [str(value) for value in numbers]
    if len(words) > 8:
        words = [*words[:6], "…", words[-1]]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
