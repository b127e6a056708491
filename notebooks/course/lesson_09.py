"""Lesson 9: an hour of audio, on paper first and then in pieces."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from course.contents import COURSE
from course.exercise import Case
from course.player import digits_clip
from w2vlearn import FrameGeometry, Wav2Vec2Config, load, transcribe
from w2vlearn.show import Picture, line_figure
from w2vlearn.show.track_figure import Track, track_figure
from w2vlearn.transcription.chunks import CONTEXT_S, chunk_outputs, frame_outputs, plan

LESSON = COURSE[9]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
HOP_MS, FIELD_MS = HOP * 1000 // SECOND, FIELD * 1000 // SECOND
HOUR = 3600 * SECOND  # samples
C = config.conv_dim[-1]
FLOAT = 4  # bytes of a float32
KERNEL = config.num_conv_pos_embeddings
CROP, CROP_LARGE = 250_000, 320_000  # samples: longest clips in pre-training, BASE and LARGE (fairseq, max_sample_size)
PIECES = 10  # seconds, cut one by one
CONTEXT = round(CONTEXT_S)
PASS, CHUNK = 20, 5  # seconds of the clip that is compared, and of its chunks
SPOKEN = ("telephone", "caribbean", "scotland", "italian")  # clips of which the long ones are made

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
"""


def conv_bytes(samples: int) -> int:
    """Bytes of the first convolution's output, BASE, one clip, float32."""
    return C * geometry.lengths(samples)[0] * FLOAT


def long_clip(seconds: int) -> torch.Tensor:
    """Held-out clips of spoken digits, one after the other, until it is long enough. Shape: (L,)."""
    once = torch.cat([digits_clip(name) for name in SPOKEN])
    return once.repeat(seconds * SECOND // len(once) + 1)[: seconds * SECOND]


def long_file(folder: str, minutes: int) -> Path:
    """Write such a clip as a sound file into a folder."""
    import soundfile

    file = Path(folder) / f"{minutes}.wav"
    soundfile.write(file, long_clip(60 * minutes).numpy(), SECOND)
    return file


def normalised(clip: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1, as the digit models want it."""
    return (clip - clip.mean()) / torch.sqrt(clip.var(correction=0) + 1e-7)


def stages(model, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
    """What leaves the feature encoder, the positional convolution and the head. Shapes: (T, …)."""
    seen: dict[str, torch.Tensor] = {}
    places = {
        "features": model.wav2vec2.feature_projection,
        "positions": model.wav2vec2.encoder.pos_conv_embed,
        "logits": model.lm_head,
    }
    handles = [
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs, output)}))
        for name, module in places.items()
    ]
    with torch.no_grad():
        model(waveform[None])
    for handle in handles:
        handle.remove()
    return {
        "features": seen["features"][0][0][0],
        "positions": seen["positions"][1][0],
        "logits": seen["logits"][1][0],
    }


def moved(states: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative distance, 0 for equal up to float error."""
    return float((states - reference).norm() / reference.norm())


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
def digit_model(norm: str):
    """A trained digit model."""
    return load(f"digits-{norm}")


@cache
def seam_texts() -> tuple[list[str], list[str]]:
    """The words of ten seconds in one pass, and those of ten pieces of a second put in a row; layer norm model."""
    model, clip = digit_model("layer"), long_clip(PIECES)
    pieces = [transcribe(model, clip[start : start + SECOND]).text for start in range(0, len(clip), SECOND)]
    return transcribe(model, clip).text.split(), " ".join(pieces).split()


def seam_sentence() -> str:
    """How the ten pieces differ from one pass, in words."""
    whole, pieces = seam_texts()
    same = sum(block.size for block in difflib.SequenceMatcher(None, whole, pieces, False).get_matching_blocks())
    return f"One pass writes {len(whole)} words; of these {same} are the same in the pieces, which write {len(pieces)}."


# ---------------------------------------------------------------- what is drawn


def chunks_figure(seconds: int, chunk_s: float) -> Callable[[float], Picture]:
    """The chunks of a clip on the frame grid: what each keeps, and what it computes and drops."""

    def draw(context_s: float) -> Picture:
        chunks = plan(seconds * SECOND, geometry, chunk_s, context_s)
        tracks = [Track("one pass", [(0, T(seconds * SECOND), "valid")], f"{T(seconds * SECOND)} kept")]
        for number, chunk in enumerate(chunks):
            keep, read = chunk.keep, chunk.read
            pieces = [
                (read.start, keep.start, "pale"),
                (keep.start, keep.stop, "valid"),
                (keep.stop, read.stop, "pale"),
            ]
            note = f"{len(keep)} kept, {len(read) - len(keep)} dropped"
            tracks.append(Track(f"chunk {number}", [piece for piece in pieces if piece[0] < piece[1]], note))
        return track_figure(
            tracks,
            x_label="frame t",
            title=f"{seconds} s in chunks of {chunk_s:g} s, context {context_s:g} s",
            seams=[chunk.keep.start for chunk in chunks[1:]],
            words={"valid": "solid: kept"},
        )

    return draw


@cache
def _change(norm: str, context_s: float) -> tuple[torch.Tensor, float, float, int]:
    """Chunks against one pass: change of each frame's logits, near seams, elsewhere, and best tokens that changed."""
    waveform, model = normalised(long_clip(PASS)), digit_model(norm)
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


def change_figure(norm: str) -> Callable[[float], Picture]:
    """How far chunks move the logits along the clip, seams marked."""

    def draw(context_s: float) -> Picture:
        change, near, far, changed = _change(norm, context_s)
        seams = {f"{number * CHUNK} s": number * CHUNK for number in range(1, PASS // CHUNK)}
        told = (
            f"context {context_s:g} s: logits moved by {near:.2f} within half a second of a seam, by {far:.2f} "
            f"elsewhere; {changed} of {len(change)} best tokens changed"
        )
        picture = line_figure(
            [geometry.centre_ms(t) / 1000 for t in range(len(change))],
            {"change": change.tolist()},
            title=f"Logits, chunks of {CHUNK} s against one pass, {norm} norm",
            x_label="seconds",
            y_label="relative change",
            limits=(0, math.ceil(float(_change(norm, 0.0)[0].max()))),
            seams=seams,
            measured=True,
            alt=f"Chunks of {CHUNK} s against one pass, {told}.",
        )
        return Picture(picture.html + f"<p>{told}</p>", picture.alt)

    return draw


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

# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
