"""Lesson 9: an hour of audio, on paper first and then in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import soundfile
import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from course.finetuning_demo import words_right
from course.player import digits_clip
from w2vlearn import transcribe
from w2vlearn.show import Picture, line_figure
from w2vlearn.show.track_figure import Track, track_figure
from w2vlearn.transcription.chunks import CONTEXT_S, chunk_outputs, frame_outputs, plan

LESSON = COURSE[9]

# ---------------------------------------------------------------- what prose computes with

PIECES = 10  # seconds, cut one by one
CONTEXT = round(CONTEXT_S)
PASS, CHUNK = 20, 5  # seconds of the clip that is compared, and of its chunks
SPOKEN = ("telephone", "caribbean", "scotland", "italian")  # clips of which the long ones are made


def long_clip(seconds: int) -> torch.Tensor:
    """Held-out clips of spoken digits, one after the other, until it is long enough. Shape: (L,)."""
    once = torch.cat([digits_clip(name) for name in SPOKEN])
    return once.repeat(seconds * SECOND // len(once) + 1)[: seconds * SECOND]


def long_file(folder: str, minutes: int) -> Path:
    """Write such a clip as a sound file into a folder."""
    file = Path(folder) / f"{minutes}.wav"
    soundfile.write(file, long_clip(60 * minutes).numpy(), SECOND)
    return file


def stages(model, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
    """What leaves the feature encoder, the positional convolution and the head. Shapes: (T, …)."""
    seen: dict[str, torch.Tensor] = {}
    places = {
        "features": model.wav2vec2.feature_extractor,
        "positions": model.wav2vec2.encoder.pos_conv_embed,
        "logits": model.lm_head,
    }
    handles = [
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output[0]}))
        for name, module in places.items()
    ]
    with torch.no_grad():
        model(waveform[None])
    for handle in handles:
        handle.remove()
    return seen | {"features": seen["features"].T}  # (C, T) -> (T, C)


def distance_text(amount: float) -> str:
    """A relative distance in words."""
    return "equal" if amount < 1e-4 else f"moved by {amount:.1g}"


@contextmanager
def largest_tensor(model) -> Iterator[dict[str, float]]:
    """Watch a model's modules: megabytes of the largest tensor that one of them gives."""
    seen = {"megabytes": 0.0}

    def look(module, inputs, output):
        if isinstance(output, torch.Tensor):
            seen["megabytes"] = max(seen["megabytes"], output.numel() * output.element_size() / 1e6)

    handles = [module.register_forward_hook(look) for module in model.modules()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@cache
def seam_words() -> tuple[int, int, int]:
    """Words that one pass over ten seconds writes, how many of these ten pieces of a second write, and all of theirs."""
    model, clip = digit_model("layer"), long_clip(PIECES)
    pieces = [transcribe(model, clip[start : start + SECOND]).text for start in range(0, len(clip), SECOND)]
    whole, glued = transcribe(model, clip).text, " ".join(pieces)
    return len(whole.split()), words_right(whole, glued), len(glued.split())


# ---------------------------------------------------------------- what is drawn


def chunks_figure(context_s: float) -> Picture:
    """The chunks of a clip on the frame grid: what each keeps, and what it computes and drops."""
    chunks = plan(PASS * SECOND, geometry, CHUNK, context_s)
    tracks = [Track("one pass", [(0, T(PASS * SECOND), "valid")], f"{T(PASS * SECOND)} kept")]
    for number, chunk in enumerate(chunks):
        keep, read = chunk.keep, chunk.read
        pieces = [(read.start, keep.start, "pale"), (keep.start, keep.stop, "valid"), (keep.stop, read.stop, "pale")]
        note = f"{len(keep)} kept, {len(read) - len(keep)} dropped"
        tracks.append(Track(f"chunk {number}", [piece for piece in pieces if piece[0] < piece[1]], note))
    return track_figure(
        tracks,
        x_label="frame t",
        title=f"{PASS} s in chunks of {CHUNK} s, context {context_s:g} s",
        seams=[chunk.keep.start for chunk in chunks[1:]],
        words={"valid": "solid: kept"},
    )


@cache
def _change(context_s: float) -> tuple[torch.Tensor, float, float, int]:
    """Chunks against one pass: change of each frame's logits, near seams, elsewhere, and best tokens that changed."""
    waveform, model = normalised(long_clip(PASS)), digit_model("layer")
    with torch.no_grad():
        whole = frame_outputs(model, waveform)  # (T, V)
    chunks = list(chunk_outputs(model, [waveform], geometry, CHUNK, context_s, progress=False))
    parts = torch.cat([logits for *_, logits in chunks])  # (T, V)
    near = torch.zeros(len(whole), dtype=torch.bool)
    for chunk, *_ in chunks[1:]:
        near[chunk.keep.start - 25 : chunk.keep.start + 25] = True
    changed = int((parts.argmax(-1) != whole.argmax(-1)).sum())
    change = (parts - whole).norm(dim=1) / whole.norm(dim=1).mean()
    return change, moved(parts[near], whole[near]), moved(parts[~near], whole[~near]), changed


def change_figure(context_s: float) -> Picture:
    """How far chunks move the logits of the layer norm model along the clip, seams marked."""
    change, near, far, changed = _change(context_s)
    told = (
        f"context {context_s:g} s: logits moved by {near:.2f} within half a second of a seam, by {far:.2f} "
        f"elsewhere; {changed} of {len(change)} best tokens changed"
    )
    picture = line_figure(
        [geometry.centre_ms(t) / 1000 for t in range(len(change))],
        {"change": change.tolist()},
        title=f"Logits, chunks of {CHUNK} s against one pass, layer norm",
        x_label="seconds",
        y_label="relative change",
        limits=(0, math.ceil(float(_change(0.0)[0].max()))),
        seams={f"{second} s": second for second in range(CHUNK, PASS, CHUNK)},
        measured=True,
        alt=f"Chunks of {CHUNK} s against one pass, {told}.",
    )
    return Picture(picture.html + f"<p>{told}</p>", picture.alt)


# ---------------------------------------------------------------- exercises

CASES = {
    "9.1": (
        Case(
            400,
            because="The shortest clip with a frame gives {{geometry.lengths(FIELD)[0]}} steps after the first convolution.",
        ),
        Case(16_000, because="A second gives {{geometry.lengths(SECOND)[0]}} steps of {{C}} numbers."),
        Case(16_004),
        Case(57_600_000, because="An hour."),
    ),
    "9.2": (
        Case(0, 249, 0, because="No context: from sample 0 to the end of what the last frame reads."),
        Case(250, 499, 100, because="Computed are the frames from the context's first to its last."),
        Case(50, 99, 100, because="There are fewer frames on the left than the context asks for."),
        Case(0, 249, 100, because="At the beginning there is no context, and nothing to drop."),
    ),
    "9.3": (
        Case(0, 0, 0, because="The first chunk begins with the clip."),
        Case(100, 250, 100, because="This row is the first kept frame."),
        Case(0, 250, 100, because="Row 0 is the first computed frame; it lies before the kept ones."),
        Case(180, 1000, 100, because="Count from the first computed frame."),
    ),
    "9.4": (
        Case(16_000, 20, 5, because="A second has {{T(SECOND)}} frames: two full chunks and the rest."),
        Case(16_000, 49, 5, because="One chunk, and no context outside the clip."),
        Case(16_080, 25, 0, because="One frame more than a second: two chunks."),
        Case(399, 10, 2, because="Too short for a frame: no chunk."),
        Case(40_000, 50, 30, because="The second chunk has context on both sides."),
    ),
}
