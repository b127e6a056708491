"""Lesson 6: where positions come from, and what attention costs."""

from __future__ import annotations

import torch

from w2vlearn.audio import example
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong
from w2vlearn.padding_masks import frame_mask

LESSON = COURSE[6]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
tiny = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
KERNEL, GROUPS = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
D, H, DEPTH = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
PER_HEAD = D // H
KERNEL_S = KERNEL * HOP / SECOND  # seconds

YES, QUESTION = (len(example(name)) for name in ("yes", "question"))  # samples
HALF_MINUTE, HOUR = 30 * SECOND, 3600 * SECOND  # samples
CROP_BASE, CROP_LARGE = 250_000, 320_000  # samples: max_sample_size in fairseq's pre-training configs
GIGA, BYTES = 1e9, 4  # bytes of a float32


def weights_gb(samples: int, clips: int = 1) -> float:
    """Attention weights of one BASE layer, if they are stored: (B, H, T, T) float32, in GB."""
    return clips * H * T(samples) ** 2 * BYTES / GIGA


def first_gb(samples: int) -> float:
    """Output of BASE's first convolution, float32, in GB."""
    return config.conv_dim[0] * geometry.lengths(samples)[0] * BYTES / GIGA


CROSSING = next(s for s in range(1, 600) if weights_gb(s * SECOND) > first_gb(s * SECOND))  # seconds

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
geometry = FrameGeometry.from_config(Wav2Vec2Config.base())
"""


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="6.1",
        question="""
Take the frames of “yes please” as they enter the first Transformer layer, shuffle them like cards, and send them through that layer. What comes out: the rows that came out before, in the shuffled
order (`"shuffled"`), or rows with other values (`"other"`)?
""",
        stub='prediction = None  # "shuffled" or "other"; running on without one is fine',
        because="""
            attention is a weighted sum over a heap of frames, and a sum does not ask for their order. Everything else in the
            layer works on one frame at a time.
        """,
        rules=(
            Rule(
                "other",
                """A Transformer layer cannot tell first from last: attention adds up a heap of frames, and the rest works
                on one frame at a time. Order has to be put in from outside.""",
            ),
        ),
    ),
    Prediction(
        id="6.2",
        question="""
The positional convolution has a kernel of {{KERNEL}} frames and adds {{KERNEL // 2}} frames of zeros at each end, so that nothing gets lost. {{T(YES)}} frames go in. How many come out of the convolution?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            T + {{KERNEL // 2}} + {{KERNEL // 2}} - {{KERNEL}} + 1 is one more than T. An even kernel has no middle frame, so no
            padding of equal size at both ends keeps the length.
        """,
        rules=(
            Rule(
                T(YES),
                """It would be so for an odd kernel. {{KERNEL}} is even: a window of {{KERNEL}} fits one place more into T +
                {{KERNEL}} frames.""",
            ),
            Rule(
                T(YES) + KERNEL,
                """That is how many frames the kernel is moved over, zeros included. It needs {{KERNEL}} of them for its
                first output.""",
            ),
        ),
    ),
    Prediction(
        id="6.3",
        question="""
Nothing forbids a clip of one hour. In BASE its attention weights, one number for each head and each pair of frames, are float32. How many GB would those of *one* layer fill, for one clip?
""",
        stub="prediction = None  # in GB; running on without one is fine",
        because="""
            an hour has about {{round(T(HOUR) / 1000)}} thousand frames, a pair is a frame times a frame, and each of {{H}} heads
            weighs them all.
        """,
        rules=(
            Rule(
                lambda said, seen: said < seen / 3,
                """A good deal more: T is about {{round(T(HOUR) / 1000)}} thousand, and it enters as its square, {{H}} times,
                {{BYTES}} bytes each.""",
            ),
            Rule(
                lambda said, seen: said > 3 * seen,
                """So much? It is bad enough: T × T × {{H}} heads × {{BYTES}} bytes, T about {{round(T(HOUR) / 1000)}} thousand.""",
            ),
        ),
        tolerance=0.3,
    ),
    Prediction(
        id="6.4",
        question="""
TINY has {{tiny.num_hidden_layers}} Transformer layers. How many tensors does `output_hidden_states=True` give?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            the first one is what goes *into* layer 0; then comes one for each layer.
        """,
        rules=(
            Rule(
                tiny.num_hidden_layers,
                "One for each layer, and one more in front: what goes into the first of them.",
            ),
            Rule(
                tiny.num_hidden_layers + 2,
                """The last hidden state is not counted twice: it is the last layer's own output (for post-norm), or made
                of it.""",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises


def queries() -> list[Case]:
    """Small queries and keys (B, H, T, d) with frame masks (B, T)."""
    generator = torch.Generator().manual_seed(0)
    query, key = (2 * torch.randn(2, 2, 4, 3, generator=generator) for _ in range(2))
    return [
        Case(
            query,
            key,
            frame_mask(torch.tensor([2, 4]), 4),
            label="2 clips of 2 and 4 real frames",
            because="Each row sums to 1 over the real keys; padded keys have weight 0.",
        ),
        Case(
            query[:1],
            key[:1],
            torch.ones(1, 4, dtype=torch.bool),
            label="one clip without padding",
            because="Scores divided by the root of d, then a softmax over the keys, the last axis.",
        ),
    ]


WEIGHTS = "def attention_weights(query, key, frame_mask):\n"
LOWEST = "torch.finfo(scores.dtype).min"

EXERCISES = (
    Exercise(
        id="6.1",
        title="how many come out?",
        level="warm-up",
        minutes=4,
        task="""
Write `frames_out(frames, kernel)`: how many frames come out of a convolution with stride 1 that adds `kernel // {{2}}` zeros at each end, before anything is trimmed? Try an odd kernel, too.
""",
        name="frames_out",
        stub="def frames_out(frames, kernel):\n    return ...",
        hints=(
            "How long is the row with its zeros? And at how many places does a window of `kernel` frames fit into it?",
            "A window of length k fits into a row of length n at n - k + 1 places. Here n is `frames + {{2}} * (kernel // {{2}})`.",
        ),
        solution="def frames_out(frames, kernel):\n    return frames + 2 * (kernel // 2) - kernel + 1",
        says="one too many for an even kernel, none for an odd one. That is what `Wav2Vec2SamePadLayer` asks, too.",
        cases=(
            Case(
                49,
                128,
                because="A window of even length fits into the padded row at one place more than there are frames.",
            ),
            Case(49, 15, because="An odd kernel has a middle: as many come out as went in."),
            Case(1, 128, because="Even one frame works: its neighbours are zeros."),
            Case(124, 3),
            Case(200, 2),
        ),
        wrongs=(
            Wrong(
                "the same",
                "def frames_out(frames, kernel):\n    return frames",
                """that is what the padding is meant to do, and for an odd kernel it does. Count the places for an even
                one.""",
            ),
            Wrong(
                "one more",
                "def frames_out(frames, kernel):\n    return frames + 1",
                """right for every even kernel. An odd one has a middle frame, and `kernel // {{2}}` rounds down.""",
            ),
            Wrong(
                "no padding",
                "def frames_out(frames, kernel):\n    return frames - kernel + 1",
                """that is the count without zeros at the ends: {{T(SECOND)}} frames would be too few for a kernel of
                {{KERNEL}}.""",
            ),
            Wrong(
                "padded length",
                "def frames_out(frames, kernel):\n    return frames + 2 * (kernel // 2)",
                """that is how long the row is with its zeros. At how many places does the window fit into it?""",
            ),
            Wrong(
                "one place too few",
                "def frames_out(frames, kernel):\n    return frames + 2 * (kernel // 2) - kernel",
                """nearly! Count the places with a small example: a window of two in a row of three fits at two.""",
            ),
        ),
        why="The general formula of lesson 2, with padding and stride 1.",
    ),
    Exercise(
        id="6.2",
        title="attention weights with a mask",
        level="stretch",
        minutes=10,
        task="""
SDPA does not hand out its weights; now you make them. Write `attention_weights(query, key, frame_mask)`: queries and keys `(B, H, T, d)` and the frame mask `(B, T)`, True = real, give `(B, H, T, T)`: scores
divided by the root of d, a softmax over the keys, and weight 0 for padded keys.
""",
        name="attention_weights",
        stub="def attention_weights(query, key, frame_mask):\n    return ...",
        hints=(
            "The scores of all pairs are one matrix product. Which axis of them counts the keys, and what must stand at padded keys *before* the softmax, so that 0 comes out?",
            "`query @ key.transpose({{2}}, {{3}})` is (B, H, T, T). Fill it with `torch.finfo(scores.dtype).min` where `~frame_mask[:, None, None, :]`.",
        ),
        solution=WEIGHTS
        + f"""    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5  # (B, H, T, T)
    scores = scores.masked_fill(~frame_mask[:, None, None, :], {LOWEST})  # keys: the last axis
    return scores.softmax(dim=-1)
""",
        says="each row sums to 1, over real keys only. That is all of `eager_attention` but its last line.",
        cases=queries,
        wrongs=(
            Wrong(
                "no mask",
                WEIGHTS + "    return (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)",
                "without padding it is right. With padding, frames that do not exist are looked at.",
            ),
            Wrong(
                "queries masked",
                WEIGHTS + "    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5\n"
                f"    return scores.masked_fill(~frame_mask[:, None, :, None], {LOWEST}).softmax(dim=-1)",
                """that forbids padded *queries* to look anywhere, and lets real ones look at padding. Keys lie along the
                last axis.""",
            ),
            Wrong(
                "mask after the softmax",
                WEIGHTS + "    weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)\n"
                "    return weights * frame_mask[:, None, None, :]",
                """padded keys have weight 0, but the rows no longer sum to 1: the softmax shared its 1 out among padding,
                too. Mask the scores.""",
            ),
            Wrong(
                "softmax over queries",
                WEIGHTS + "    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5\n"
                f"    return scores.masked_fill(~frame_mask[:, None, None, :], {LOWEST}).softmax(dim=-2)",
                """the columns sum to 1 here. Each *query* shares out its attention: the softmax goes along the keys, the
                last axis.""",
            ),
            Wrong(
                "not scaled",
                WEIGHTS + "    scores = query @ key.transpose(2, 3)\n"
                f"    return scores.masked_fill(~frame_mask[:, None, None, :], {LOWEST}).softmax(dim=-1)",
                "the shape is right, the weights are too sharp: the scores are not divided by the root of d.",
            ),
            Wrong(
                "scaled by d",
                WEIGHTS + "    scores = query @ key.transpose(2, 3) / query.shape[-1]\n"
                f"    return scores.masked_fill(~frame_mask[:, None, None, :], {LOWEST}).softmax(dim=-1)",
                "too flat: by the *root* of d, the scores' own spread.",
            ),
            Wrong(
                "inverted",
                WEIGHTS + "    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5\n"
                f"    return scores.masked_fill(frame_mask[:, None, None, :], {LOWEST}).softmax(dim=-1)",
                "that looks at the padding and at nothing else. True is real here: fill where the mask is False.",
            ),
        ),
        why="`eager_attention` in `w2vlearn/model/encoder.py`; Vaswani et al. 2017, section 3.2.1.",
    ),
    Exercise(
        id="6.3",
        title="what a batch costs",
        level="core",
        minutes=6,
        task="""
Write `attention_bytes(lengths)`: clips of these lengths (in samples) go through BASE in one batch, with eager attention. How many bytes do the attention weights of one layer fill, `(B, H, T, T)` in
float32? BASE has {{H}} heads; `geometry.frame_count` counts frames.
""",
        name="attention_bytes",
        stub="def attention_bytes(lengths):  # such as [16_000, 40_000]\n    return ...",
        hints=(
            "Four axes. Who decides the last two, if the clips differ in length?",
            "The longest clip decides T for everybody. Then it is B × {{H}} × T × T numbers of {{BYTES}} bytes.",
        ),
        solution="""
def attention_bytes(lengths):
    frames = geometry.frame_count(max(lengths))
    return len(lengths) * 12 * frames * frames * 4
""",
        says="short clips pay for the longest one, squared. Sorting clips by length before batching is worth it.",
        cases=(
            Case([16_000], because="One clip: heads times frames times frames, four bytes each."),
            Case([16_000, 40_000], because="The longest clip decides T for both."),
            Case([480_000], because="Thirty seconds: T enters as its square."),
            Case([8_000, 8_000, 24_000]),
        ),
        wrongs=(
            Wrong(
                "no heads",
                """
def attention_bytes(lengths):
    frames = geometry.frame_count(max(lengths))
    return len(lengths) * frames * frames * 4
""",
                "that is one head. Each of the {{H}} weighs all pairs for itself.",
            ),
            Wrong(
                "each clip its own",
                """
def attention_bytes(lengths):
    return sum(12 * geometry.frame_count(length) ** 2 * 4 for length in lengths)
""",
                """if only: a tensor is a rectangle. Every clip of the batch gets a square as large as the longest clip's.""",
            ),
            Wrong(
                "50 per second",
                """
def attention_bytes(lengths):
    frames = max(lengths) // 320
    return len(lengths) * 12 * frames * frames * 4
""",
                """very near, but T is a little smaller than samples divided by {{HOP}}; let `geometry.frame_count`
                count.""",
            ),
            Wrong(
                "not squared",
                """
def attention_bytes(lengths):
    return len(lengths) * 12 * geometry.frame_count(max(lengths)) * 4
""",
                "that is one number for each frame. Attention weighs *pairs*: a query and a key.",
            ),
            Wrong(
                "without the batch",
                """
def attention_bytes(lengths):
    return 12 * geometry.frame_count(max(lengths)) ** 2 * 4
""",
                "that is one clip's share. The first axis counts clips.",
            ),
            Wrong(
                "numbers, not bytes",
                """
def attention_bytes(lengths):
    return len(lengths) * 12 * geometry.frame_count(max(lengths)) ** 2
""",
                "that counts numbers. A float32 fills {{BYTES}} bytes.",
            ),
            Wrong(
                "samples",
                "def attention_bytes(lengths):\n    return len(lengths) * 12 * max(lengths) ** 2 * 4",
                "attention does not see samples: it looks at frames.",
            ),
        ),
        why="`explore` shows the same number under *grows with the batch*.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
