"""Lesson 9: an hour of audio, on paper first and then in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong
from w2vlearn.lessons.listening import digits_clip
from w2vlearn.transcription.chunks import CONTEXT_S, plan

LESSON = COURSE[9]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
HOP_MS, FIELD_MS = HOP * 1000 // SECOND, FIELD * 1000 // SECOND
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND  # samples
C, H, DEPTH = config.conv_dim[-1], config.num_attention_heads, config.num_hidden_layers
FLOAT = 4  # bytes of a float32
KERNEL = config.num_conv_pos_embeddings
CROP, CROP_LARGE = 250_000, 320_000  # samples: longest clips in pre-training, BASE and LARGE (fairseq, max_sample_size)
PIECES = 60  # seconds of a minute, cut one by one
LOST = T(MINUTE) - PIECES * T(SECOND)  # frames
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


def score_bytes(samples: int) -> int:
    """Bytes of one layer's attention scores (1, H, T, T), BASE, one clip, float32."""
    return H * T(samples) ** 2 * FLOAT


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


def moved(here: torch.Tensor, there: torch.Tensor) -> float:
    """Relative distance, 0 for equal up to float error."""
    return float((here - there).norm() / there.norm())


def words(amount: float) -> str:
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
    from w2vlearn.checkpoints import load

    return load(f"digits-{norm}")


@cache
def seams(norm: str, context_s: float) -> tuple[float, float, int]:
    """Chunks against one pass: logits moved at the seams and far from them, and best tokens that changed."""
    from w2vlearn.transcription.chunks import chunked_logits, frame_outputs

    waveform, model = normalised(long_clip(PASS)), digit_model(norm)
    with torch.no_grad():
        whole = frame_outputs(model, waveform)
    parts = chunked_logits(model, waveform, CHUNK, context_s, progress=False)
    near = torch.zeros(len(whole), dtype=torch.bool)
    for chunk in plan(len(waveform), geometry, CHUNK, context_s)[1:]:
        near[chunk.keep.start - 25 : chunk.keep.start + 25] = True
    changed = int((parts.argmax(-1) != whole.argmax(-1)).sum())
    return moved(parts[near], whole[near]), moved(parts[~near], whole[~near]), changed


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="9.1",
        question="""
Plain (“eager”) attention keeps a score for each pair of frames, in {{H}} heads. For an hour of audio the scores of *one* layer are {{score_bytes(HOUR) / 1e9:.0f}} GB, as the explorer says. How many GB for one minute?
""",
        stub="prediction = None  # GB; running on without one is fine",
        because="pairs go with the square: a sixtieth of the frames, a {{PIECES ** 2}}th of the pairs.",
        rules=(
            Rule(
                lambda guess, is_: 0.5 < guess / (score_bytes(HOUR) / 1e9 / PIECES) < 2,
                """A sixtieth of the time, a sixtieth of the memory: that holds for the convolutions. A score belongs to a
                *pair* of frames, and of those there are sixty times sixty times fewer.""",
            ),
            Rule(
                lambda guess, is_: 0.5 < guess / (DEPTH * is_) < 2,
                """That is all {{DEPTH}} layers at once. Without gradients one layer's scores are gone before the next
                one's come.""",
            ),
        ),
        tolerance=0.1,
    ),
    Prediction(
        id="9.2",
        question="""
A minute of audio is cut into {{PIECES}} pieces of a second, and each goes through the model alone. How many frames do the pieces have together? (In one pass the minute has {{T(MINUTE)}}.)
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            each piece has {{T(SECOND)}}, because no frame may read over its end. At every cut the frame that would have
            read across it is lost.
        """,
        rules=(
            Rule(
                T(MINUTE),
                """So it would be, if frames did not overlap. A window is {{FIELD}} samples long and the hop {{HOP}}: at each
                cut there is a frame that needs samples of both sides.""",
            ),
            Rule(
                PIECES * SECOND // HOP,
                """That is the rate, {{SECOND // HOP}} in a second. A piece of a second *has* {{T(SECOND)}} (lesson 2), and
                each piece loses its own.""",
            ),
            Rule(
                lambda guess, is_: abs(guess - (T(MINUTE) - PIECES + 1)) <= 1 and guess != is_,
                "One for each cut, exquisitely counted! Compare the last digit with the frames of one piece.",
            ),
        ),
    ),
    Prediction(
        id="9.3",
        question="""
The clip of {{PASS}} s goes through the *layer norm* model in chunks, each with {{CONTEXT}} s of context on both sides. Look at a frame in the middle of a chunk. What is still the same as in one pass, up to float error:
`"nothing"`, only the `"features"`, features and `"positions"`, or everything, `"logits"` too?
""",
        stub='prediction = None  # "nothing", "features", "positions" or "logits"; running on without one is fine',
        because="""
            convolutions look as far as their kernels, and the context covers that. Attention looks at everything there
            is, and in a chunk that is less.
        """,
        rules=(
            Rule(
                "logits",
                """That is what context is hoped to buy. It does, for everything with a limited reach; but one layer of
                attention looks from end to end, and in a chunk the ends are nearer.""",
            ),
            Rule(
                "features",
                """They are, and more: the positional convolution has a kernel, too, and its reach is within the
                context.""",
            ),
            Rule(
                "nothing",
                "True for the group norm model. Layer norm looks at one frame, so the features depend on its window only.",
            ),
        ),
    ),
)

# ---------------------------------------------------------------- exercises

PLAN = """
def my_plan(samples, keep, context):
    frames = {frames}
    chunks = []
    for start in range(0, {until}, keep):
        stop = min(start + keep, frames)
        first, last = {first}, {last}
        chunks.append((start, stop, first * 320, {stop}))
    return chunks
"""


def planned(**other: str) -> str:
    """Exercise 9.4's solution, or a wrong answer that differs in a place or two."""
    parts = {
        "frames": "geometry.frame_count(samples)",
        "until": "frames",
        "first": "max(0, start - context)",
        "last": "min(stop + context, frames) - 1",
        "stop": "last * 320 + 400",
    }
    return PLAN.format(**(parts | other))


EXERCISES = (
    Exercise(
        id="9.1",
        title="the first bottleneck",
        level="warm-up",
        minutes=4,
        task="""
Write `first_conv_bytes(samples)`: how many bytes the output of BASE's first convolution has, for one clip in float32 ({{FLOAT}} bytes a number).
""",
        name="first_conv_bytes",
        stub="def first_conv_bytes(samples):\n    return ...",
        hints=(
            "Its shape is (1, C, T1). Both are in the table above; T1 is the length after *one* convolution.",
            "`geometry.lengths(samples)` lists T1 … T7. C is `config.conv_dim[0]`.",
        ),
        solution="""
def first_conv_bytes(samples):
    return 4 * config.conv_dim[0] * geometry.lengths(samples)[0]
""",
        says="and that several times over: the convolution's output, the norm's and the activation's exist for a moment side by side.",
        cases=(
            Case(
                400,
                because="The shortest clip with a frame gives {{geometry.lengths(FIELD)[0]}} steps after the first convolution.",
            ),
            Case(16_000, because="A second gives {{geometry.lengths(SECOND)[0]}} steps of {{C}} numbers."),
            Case(16_004),
            Case(57_600_000, because="An hour."),
        ),
        wrongs=(
            Wrong(
                "frames",
                "def first_conv_bytes(samples):\n    return 4 * 512 * geometry.frame_count(samples)",
                "that is the *last* convolution, after all seven strides. The first has its length divided by five only.",
            ),
            Wrong(
                "numbers",
                "def first_conv_bytes(samples):\n    return 512 * geometry.lengths(samples)[0]",
                "these are numbers; how many bytes is each?",
            ),
            Wrong(
                "divided by the stride",
                "def first_conv_bytes(samples):\n    return 4 * 512 * (samples // 5)",
                "very near. A window of ten samples has to fit, so a step or two at the end are missing.",
            ),
            Wrong(
                "768",
                "def first_conv_bytes(samples):\n    return 4 * 768 * geometry.lengths(samples)[0]",
                "the length is right. In the feature encoder a step has as many numbers as there are channels.",
            ),
        ),
    ),
    Exercise(
        id="9.2",
        title="cut on the grid",
        level="core",
        minutes=8,
        task="""
You want the frames `first` to `last`, both included, of a long clip, each computed with `context` frames on both sides. Write `cut(first, last, context)`: the first sample to take, the sample where to stop, and how many of
the computed frames to drop on the left. (The clip begins at frame 0; at its right end it goes on long enough.)
""",
        name="cut",
        stub="def cut(first, last, context):\n    return ..., ..., ...",
        hints=(
            "Which frames are computed? From `first - context` to `last + context`, but there is no frame before 0. `geometry.span(t)` says what frame t reads.",
            "`start = max(0, first - context)`; samples from `geometry.span(start).start` to `geometry.span(last + context).stop`; dropped are `first - start` frames.",
        ),
        solution="""
def cut(first, last, context):
    start = max(0, first - context)
    return geometry.span(start).start, geometry.span(last + context).stop, first - start
""",
        says="that is what `plan` in `w2vlearn/transcription/chunks.py` does, for all chunks at once.",
        cases=(
            Case(0, 249, 0, because="No context: from sample 0 to the end of what the last frame reads."),
            Case(250, 499, 100, because="Computed are the frames from the context's first to its last."),
            Case(50, 99, 100, because="There are fewer frames on the left than the context asks for."),
            Case(0, 249, 100, because="At the beginning there is no context, and nothing to drop."),
        ),
        wrongs=(
            Wrong(
                "hops only",
                """
def cut(first, last, context):
    start = max(0, first - context)
    return start * 320, (last + context + 1) * 320, first - start
""",
                """you stop where the next frame *begins*. The last one reads on, for the rest of its window; without those
                samples it does not exist, and one frame is missing at every seam.""",
            ),
            Wrong(
                "context always",
                """
def cut(first, last, context):
    start = max(0, first - context)
    return start * 320, (last + context) * 320 + 400, context
""",
                """the samples are right. At the beginning of the clip there is less context than you asked for, and you
                drop frames that you wanted.""",
            ),
            Wrong(
                "before the beginning",
                """
def cut(first, last, context):
    return (first - context) * 320, (last + context) * 320 + 400, context
""",
                "there is nothing before sample 0, and Python reads a negative start as “from the end”.",
            ),
            Wrong(
                "off the grid",
                """
def cut(first, last, context):
    start = max(0, first - context)
    return start * 325, (last + context) * 325 + 400, first - start
""",
                """these cuts are not on multiples of the hop. The frames of the chunk then read other samples than in one
                pass, and none of them is the frame you want.""",
                when=lambda answer: answer(250, 499, 100)[0] % HOP != 0,
            ),
            Wrong(
                "no context",
                """
def cut(first, last, context):
    return first * 320, last * 320 + 400, 0
""",
                "right for no context at all. With some, more frames are computed, on both sides, and dropped again.",
            ),
            Wrong(
                "one frame less",
                """
def cut(first, last, context):
    start = max(0, first - context)
    return start * 320, (last + context - 1) * 320 + 400, first - start
""",
                "`last` is included: your cut ends a frame too early.",
            ),
        ),
    ),
    Exercise(
        id="9.3",
        title="times across chunks",
        level="core",
        minutes=5,
        task="""
A chunk keeps the frames of the clip from `keep_start` on, and `context` more frames were computed before them. Write `clip_time(t, keep_start, context)`: when, in seconds of the *clip*, does the frame begin that is row t of the chunk's logits?
""",
        name="clip_time",
        stub="def clip_time(t, keep_start, context):\n    return ...",
        hints=(
            "Row 0 of the chunk is the first *computed* frame. Which frame of the clip is that?",
            "Row t is frame `keep_start - context + t` of the clip. `geometry.start_ms` gives milliseconds.",
        ),
        solution="""
def clip_time(t, keep_start, context):
    return geometry.start_ms(keep_start - context + t) / 1000
""",
        says="whole frames first, seconds at the very end: so nothing is rounded on the way.",
        cases=(
            Case(0, 0, 0, because="The first chunk begins with the clip."),
            Case(100, 250, 100, because="This row is the first kept frame."),
            Case(0, 250, 100, because="Row 0 is the first computed frame; it lies before the kept ones."),
            Case(180, 1000, 100, because="Count from the first computed frame."),
        ),
        wrongs=(
            Wrong(
                "context not subtracted",
                "def clip_time(t, keep_start, context):\n    return (keep_start + t) * 0.02",
                """all words of the chunk come late by the context: row 0 lies *before* `keep_start`. (A well-known
                library had this fault: its times ran past the end of the clip.)""",
            ),
            Wrong(
                "chunk forgotten",
                "def clip_time(t, keep_start, context):\n    return (t - context) * 0.02",
                "that is the time within the chunk's kept part. The clip began long before.",
            ),
            Wrong(
                "row only",
                "def clip_time(t, keep_start, context):\n    return t * 0.02",
                "that is the time within the chunk. The clip began long before.",
            ),
            Wrong(
                "context added",
                "def clip_time(t, keep_start, context):\n    return (keep_start + context + t) * 0.02",
                "the context was computed *before* the kept frames: in which direction does that shift row 0?",
            ),
            Wrong(
                "one frame less at each cut",
                "def clip_time(t, keep_start, context):\n    return (keep_start - context + t) / 49",
                "the right frame, stretched: a second has room for a start every {{HOP_MS}} ms, whatever the frame count.",
            ),
        ),
    ),
    Exercise(
        id="9.4",
        title="the whole plan",
        level="stretch",
        minutes=12,
        task="""
Write `my_plan(samples, keep, context)`: a list with `(keep_start, keep_stop, sample_start, sample_stop)` for each chunk. Every frame of the clip is kept once, `keep` frames in a chunk (fewer in the last), computed with `context` frames on
both sides where there are any. Stops are excluded, as in `range`.
""",
        name="my_plan",
        stub="def my_plan(samples, keep, context):\n    return ...",
        hints=(
            "How many frames are there to share out? Walk through them in steps of `keep`; context may not leave the clip on either side.",
            "For each `start` in `range(0, T, keep)`: `stop = min(start + keep, T)`, computed are the frames from `max(0, start - context)` to `min(stop + context, T)`, excluded.",
        ),
        solution=planned(),
        says="and it costs nothing: an hour is planned before a single sample is read.",
        cases=(
            Case(16_000, 20, 5, because="A second has {{T(SECOND)}} frames: two full chunks and the rest."),
            Case(16_000, 49, 5, because="One chunk, and no context outside the clip."),
            Case(16_080, 25, 0, because="One frame more than a second: two chunks."),
            Case(399, 10, 2, because="Too short for a frame: no chunk."),
            Case(40_000, 50, 30, because="The second chunk has context on both sides."),
        ),
        wrongs=(
            Wrong(
                "50 per second",
                planned(frames="samples // 320"),
                "you share out more frames than there are: the last chunk wants one that would read past the end.",
            ),
            Wrong(
                "last chunk dropped",
                planned(until="frames - keep + 1"),
                "the frames left over at the end are kept by no chunk: the last words of the clip are lost.",
            ),
            Wrong(
                "hops only",
                planned(stop="(last + 1) * 320"),
                "your chunks stop where the next frame begins, and so they have one frame less than you plan with.",
            ),
            Wrong(
                "context over the end",
                planned(last="stop + context - 1"),
                "at the end of the clip you ask for frames, and samples, that do not exist.",
            ),
            Wrong(
                "context over the start",
                planned(first="start - context"),
                "before frame 0 there is nothing: the first chunk has no context on its left.",
            ),
            Wrong(
                "no context",
                planned(first="start", last="stop - 1"),
                "the frames are shared out rightly; they are computed without their context, though.",
            ),
        ),
        why="`plan` in `w2vlearn/transcription/chunks.py`; if there is a single chunk it also takes the unread tail along, so that it is one pass to the last bit.",
    ),
)

# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
