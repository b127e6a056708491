"""Lesson 1: any recording becomes a row of a batch."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from w2vlearn.audio import example
from w2vlearn.batch import pad
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[1]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
tiny = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T, SECOND = geometry.frame_count, geometry.sample_rate
HOP, FIELD = geometry.hop, geometry.receptive_field
KILO = 1000

YES, DIGITS, QUESTION = (len(example(name)) for name in ("yes", "digits", "question"))  # samples
WRONG_RATE, PHONE, STUDIO = 22_050, 8_000, 48_000  # Hz: librosa's default, a telephone, a studio
RESAMPLED = -(-YES * WRONG_RATE // SECOND)  # samples of "yes" at the wrong rate, as soxr rounds
BITS, STEPS = 16, 2**15  # what a CD or a WAV file stores
CASE_SECONDS, CASE_FRAMES = 9.36, 644  # a real question: TencentGameMate/chinese_speech_pretrain, issue 30
CASE_RIGHT = T(round(CASE_SECONDS * SECOND))
OFFSET = 0.05  # a constant that a cheap microphone adds
LOUDER = 10
RATES = "8000, 11025, 16000, 22050, 24000, 44100 or 48000"
EPSILON = "1e-7"
STRETCH = (DIGITS / YES) ** 0.5  # what normalising over the padding does to the standard deviation

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config, pad
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""


@cache
def refusal(shape: tuple[int, ...], dtype: str = "float32") -> str:
    """What PyTorch itself says when a tensor of this shape reaches BASE's first convolution (Hugging Face, fairseq)."""
    convolution = torch.nn.Conv1d(1, config.conv_dim[0], config.conv_kernel[0], config.conv_stride[0], bias=False)
    try:
        convolution(torch.zeros(shape, dtype=getattr(torch, dtype))[:, None])
    except (RuntimeError, ValueError) as error:
        return str(error)
    return "nothing: it runs"


@cache
def loudness(norm: str) -> float:
    """How much a clip ten times louder changes what leaves TINY, in per cent of its size; weights random."""
    from w2vlearn.model import Wav2Vec2Model

    torch.manual_seed(0)
    model = Wav2Vec2Model(dataclasses.replace(tiny, feat_extract_norm=norm, conv_bias=norm == "layer")).eval()
    with torch.no_grad():
        usual, loud = (model(scale * example("yes")[None]).last_hidden_state for scale in (1, LOUDER))
    return float(100 * (loud - usual).norm() / usual.norm())


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="1.1",
        question="""
The clip “yes please” has {{YES}} samples at {{SECOND}} Hz, one second, and gives {{T(YES)}} frames. Somebody saves it at {{WRONG_RATE}} Hz.
It sounds the same and still lasts one second. Now their program hands those samples to the model as they are. How many frames come out?
""",
        stub='prediction = None  # a number, or "error"; running on without one is fine',
        because="""
            one frame for every {{HOP}} samples, whatever a sample is. The model has no sample rate: it counts samples, and
            now there are {{RESAMPLED}} of them.
        """,
        rules=(
            Rule(
                T(YES),
                """It would be {{T(YES)}} if frames counted milliseconds. They count samples: one for every {{HOP}}, and
                a second at {{WRONG_RATE}} Hz has more of them.""",
            ),
            Rule(
                lambda said, is_: isinstance(said, str),
                """Nothing complains. A tensor is a row of numbers; nowhere in it does it say how many make a second.""",
            ),
            Rule(
                lambda said, is_: abs(said - is_) <= 2,
                """Very close! {{RESAMPLED}} / {{HOP}} is the right idea, and the edge takes away a little; lesson 2 counts
                it.""",
            ),
        ),
    ),
    Prediction(
        id="1.2",
        question="""
A stereo recording, one second long, is a tensor of shape `({{2}}, {{YES}})`: left channel, right channel. It goes into the model as it is. Which
shape has the last hidden state? (The model is TINY: D = {{tiny.hidden_size}}.)
""",
        stub='prediction = None  # such as (1, 2, 3), or "error"; running on without one is fine',
        because="""
            two rows are two clips, and left and right go through side by side, strangers to each other. No error, no
            warning.
        """,
        rules=(
            Rule(
                lambda said, is_: isinstance(said, str),
                """If only! A rectangle with two rows is a batch of two clips, so that is what the model takes it for.
                Nothing complains.""",
            ),
            Rule(
                lambda said, is_: len(said) == 3 and said[0] == 1,
                """Nobody told the model that the two rows belong together. The first axis counts clips, so it sees two of
                them.""",
            ),
            Rule(
                lambda said, is_: len(said) == 3 and said[2] != is_[2],
                """The last axis is D, and the config fixes it; the first counts clips, and two channels look like two
                clips.""",
            ),
        ),
    ),
    Prediction(
        id="1.3",
        question="""
“yes please” ({{YES}} samples) waits in a batch beside “three one four one five” ({{DIGITS}} samples), so its row is filled up with zeros. Then somebody
brings each *row* to mean 0 and standard deviation 1. What is the standard deviation of the {{YES}} real samples of “yes please” now?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            the zeros made the row look quieter than the clip is, so the clip was blown up by
            sqrt({{DIGITS}} / {{YES}}). A longer neighbour would blow it up more.
        """,
        rules=(
            Rule(
                1.0,
                """That is the standard deviation of the whole row. The padding holds no sound, so the real samples have to
                make up for it: they were multiplied by sqrt({{DIGITS}} / {{YES}}).""",
            ),
            Rule(
                lambda said, is_: said < 1,
                """The other way round: the zeros made the row look quiet, so everything in it was made louder, the real
                samples included.""",
            ),
        ),
        tolerance=0.02,
    ),
)


# ---------------------------------------------------------------- exercises


def recordings() -> list[Case]:
    """Integer recordings (L, channels) on which the usual slips differ."""

    def case(rows, because=""):
        return Case(torch.tensor(rows, dtype=torch.int16), because=because, label=str(rows))

    return [
        case([[16384, 0], [-32768, -32768], [8192, 24576]], "Each row is one moment; its channels are averaged."),
        case([[1000, 3000], [-500, 100]], "Two moments, two channels: the averages go along the second axis."),
        case([[-32768], [32767], [5]], "One channel is its own average; the shape is still (L,)."),
        case([[1, 2, 3, 6]], "One moment of four channels is one sample."),
    ]


def toy_clips() -> list[Case]:
    """Lists of readable clips: ramps, and one that holds real silence."""

    def case(*rows, because=""):
        return Case(
            [torch.tensor(row, dtype=torch.float32) for row in rows],
            because=because,
            label=str([list(r) for r in rows]),
        )

    return [
        case(
            (1, 2, 3),
            (4, 5, 6, 7, 8),
            because="Two clips, the longer has five samples: both tensors are ({{2}}, {{5}}).",
        ),
        case((1, 0, 2, 0), (0, 0), (3, 4, 5), because="A sample of 0 is silence, and real."),
        case((7, 8), because="One clip is a batch of one, without padding."),
    ]


def toy_batches() -> list[Case]:
    """Padded batches (B, L) with their masks."""
    batch = pad([torch.tensor([1.0, 3.0, 8.0]), torch.tensor([2.0, 2.0, 5.0, 1.0, 0.0, 2.0])], minimum_samples=1)
    silent = pad([torch.zeros(2), torch.tensor([-1.0, 1.0, 3.0])], minimum_samples=1)
    return [
        Case(
            batch.waveforms,
            batch.mask,
            label="clips of 3 and 6 samples",
            because="Each clip has mean 0 and standard deviation 1 over its real samples, and its padding is 0.",
        ),
        Case(
            silent.waveforms,
            silent.mask,
            label="a clip of pure silence beside another",
            because="Silence has variance 0; the small number under the root keeps it silence.",
        ),
    ]


def not_float32(to_clip) -> str | None:
    """Says so if the samples came out in another precision."""
    found = to_clip(torch.zeros(3, 2, dtype=torch.int16)).dtype
    if found == torch.float32:
        return None
    return f"every value is right, but as {str(found)[6:]}. The model's weights are float32, and it wants the same."


HEAD = "def make_batch(clips):\n    longest = max(len(clip) for clip in clips)\n"

EXERCISES = (
    Exercise(
        id="1.1",
        title="the case of the many frames",
        level="warm-up",
        minutes=3,
        task="""
A question from an issue tracker: “My clip lasts {{CASE_SECONDS}} s, I read it at {{SECOND}} Hz, and the model gives me {{CASE_FRAMES}} frames.” It should be
{{CASE_RIGHT}}. At which rate did their program really read the file? Put it into `rate`, in Hz.
""",
        name="rate",
        stub="rate = ...  # samples per second",
        hints=(
            "Frames count samples. About how many samples do {{CASE_FRAMES}} frames stand for? And how many of them made a second?",
            """{{CASE_FRAMES}} frames of {{HOP}} samples in {{CASE_SECONDS}} seconds are about {{CASE_FRAMES * HOP / CASE_SECONDS:.0f}} in a second. Sound
files come at {{RATES}} Hz: try the nearest with `geometry.frame_count`.""",
        ),
        solution="""
rates = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
rate = next(rate for rate in rates if geometry.frame_count(round(9.36 * rate)) == 644)
""",
        says="librosa reads at {{WRONG_RATE}} Hz unless it is told otherwise: `librosa.load(path, sr={{SECOND:d}})`.",
        wrongs=(
            Wrong(
                "an estimate",
                "rate = 644 * 320 / 9.36",
                """very near. That estimate leaves out the edge, and nobody records at such a rate. Which usual rate lies
                beside it?""",
                when=lambda rate: rate != WRONG_RATE and abs(rate - WRONG_RATE) < 600,
            ),
            Wrong(
                "what they believe",
                "rate = 16_000",
                """that is what they believe. {{CASE_SECONDS}} s at {{SECOND}} Hz give {{CASE_RIGHT}} frames, not
                {{CASE_FRAMES}}.""",
            ),
            Wrong(
                "CD quality",
                "rate = 44_100",
                """a good suspect, but it would have left {{T(round(CASE_SECONDS * 44_100))}} frames behind. Look for one
                that leaves {{CASE_FRAMES}}.""",
            ),
            Wrong(
                "frames per second",
                "rate = 644 / 9.36",
                """that is frames per second. The rate counts samples per second, and there are {{HOP}} of them between
                two frames.""",
                when=lambda rate: 40 < rate < 80,
            ),
        ),
        why="`{{CASE_SECONDS}} · {{WRONG_RATE}}` is {{round(CASE_SECONDS * WRONG_RATE)}} samples, and those give {{CASE_FRAMES}} frames.",
    ),
    Exercise(
        id="1.2",
        title="from a WAV file's numbers to a clip",
        level="core",
        minutes=6,
        task="""
`soundfile` can hand you the numbers as they stand in the file: {{BITS}}-bit integers, shape `(L, channels)`, from `-{{STEPS:d}}` to `{{STEPS - 1:d}}`. Write
`to_clip(recording)`: such an int16 tensor in, a float32 clip of shape `(L,)` out, mono, where `-{{STEPS:d}}` has become `-1`.
""",
        name="to_clip",
        stub="def to_clip(recording):  # (L, channels) int16\n    return ...",
        hints=(
            "Three steps: make floats of the integers, scale them, average. Over which of the two axes do the channels lie?",
            "`recording.float()` makes floats, dividing by {{STEPS:d}} scales, and `mean` over the last axis leaves one number for each moment.",
        ),
        solution="def to_clip(recording):  # (L, channels) int16\n    return recording.float().mean(dim=1) / 32768  # (L,)",
        says="one channel, float32, from -1 to 1. Only the sample rate is left to check.",
        wrongs=(
            Wrong(
                "not scaled",
                "def to_clip(recording):\n    return recording.float().mean(dim=1)",
                """mono it is, but still as loud as integers: tens of thousands where a float clip stays between -1 and 1.
                What does `-{{STEPS:d}}` have to be divided by?""",
            ),
            Wrong(
                "wrong axis",
                "def to_clip(recording):\n    return (recording.float() / 32768).mean(dim=0)",
                """that averages over time: one number for each channel is left, and the speech is gone. Which axis holds
                the channels of one moment?""",
            ),
            Wrong(
                "sum",
                "def to_clip(recording):\n    return (recording.float() / 32768).sum(dim=1)",
                """two loud channels together leave the range from -1 to 1. Mono is the average of the channels, not
                their sum.""",
            ),
            Wrong(
                "first channel",
                "def to_clip(recording):\n    return recording[:, 0].float() / 32768",
                """that is the left channel alone. If the speaker sits at the right, you hand the model silence. Use all
                channels alike.""",
            ),
            Wrong(
                "flattened",
                "def to_clip(recording):\n    return recording.float().flatten() / 32768",
                """left, right, left, right … in one row: twice as many samples, so everything seems to last twice as
                long. The channels of one moment have to become one number.""",
            ),
            Wrong(
                "the largest integer",
                "def to_clip(recording):\n    return recording.float().mean(dim=1) / 32767",
                """nearly: `-{{STEPS:d}}` comes out a little below -1. There is one more integer below zero than above;
                divide by the count of those below.""",
            ),
            Wrong(
                "own maximum",
                "def to_clip(recording):\n    clip = recording.float().mean(dim=1)\n    return clip / clip.abs().max()",
                """now a whisper is as loud as a shout, and the same sound depends on the loudest moment of its file. The
                scale is one number, the same for every file.""",
            ),
            Wrong(
                "mean of integers",
                "def to_clip(recording):\n    return recording.mean(dim=1) / 32768",
                """torch refuses to average integers, since the average may lie between two of them. Make floats of them
                first.""",
            ),
        ),
        cases=recordings,
        judge=not_float32,
        why="Averaging before or after scaling is the same. `w2vlearn.read_audio` does all this and resamples, too (`w2vlearn/audio.py`).",
    ),
    Exercise(
        id="1.3",
        title="a batch by hand",
        level="core",
        minutes=7,
        task="""
Write `make_batch(clips)`: a list of clips of shape `(L_i,)` in, two tensors out: the waveforms `(B, L)`, filled up with zeros at the right, and the
sample mask `(B, L)`, bool, True where a sample is real. Without `pad`, this once.
""",
        name="make_batch",
        stub="def make_batch(clips):\n    ...\n    return ...",
        hints=(
            "The longest clip decides L. The mask needs the lengths only; it has no business looking at the samples.",
            "`torch.zeros(len(clips), longest)` is filled row by row. For the mask compare `torch.arange(longest)` with the lengths as a column, `lengths[:, None]`.",
        ),
        solution=HEAD + "    waveforms = torch.zeros(len(clips), longest)  # (B, L)\n"
        "    for row, clip in zip(waveforms, clips):\n        row[: len(clip)] = clip\n"
        "    lengths = torch.tensor([len(clip) for clip in clips])  # (B,)\n"
        "    return waveforms, torch.arange(longest) < lengths[:, None]  # (L,) < (B, 1) -> (B, L)",
        says="a rectangle for the machine, and a mask that remembers what is real. That is all `pad` does.",
        wrongs=(
            Wrong(
                "mask from the samples",
                HEAD
                + "    waveforms = torch.stack([torch.nn.functional.pad(c, (0, longest - len(c))) for c in clips])\n"
                "    return waveforms, waveforms != 0",
                """the waveforms are right, but the mask takes every silent sample for padding. Silence is real! Ask how
                long the clip is, not how loud.""",
            ),
            Wrong(
                "mask inverted",
                HEAD
                + "    waveforms = torch.stack([torch.nn.functional.pad(c, (0, longest - len(c))) for c in clips])\n"
                "    return waveforms, torch.arange(longest) >= torch.tensor([len(c) for c in clips])[:, None]",
                """the mask says True where the padding is. That is fairseq's convention; here, as in Hugging Face, True
                is real. Nothing would have crashed.""",
            ),
            Wrong(
                "one sample too many",
                HEAD
                + "    waveforms = torch.stack([torch.nn.functional.pad(c, (0, longest - len(c))) for c in clips])\n"
                "    return waveforms, torch.arange(longest) <= torch.tensor([len(c) for c in clips])[:, None]",
                """one sample too many counts as real in each short clip. Samples are numbered from 0: which number has
                the last real one?""",
            ),
            Wrong(
                "padded at the left",
                HEAD
                + "    waveforms = torch.stack([torch.nn.functional.pad(c, (longest - len(c), 0)) for c in clips])\n"
                "    lengths = torch.tensor([len(c) for c in clips])\n"
                "    return waveforms, torch.arange(longest) >= longest - lengths[:, None]",
                """everything stands at the right edge, padding first. Language models do that; for wav2vec 2.0 the clip
                begins at sample 0 and the padding follows.""",
            ),
            Wrong(
                "cut to the shortest",
                "def make_batch(clips):\n    shortest = min(len(clip) for clip in clips)\n"
                "    waveforms = torch.stack([clip[:shortest] for clip in clips])\n"
                "    return waveforms, torch.ones_like(waveforms, dtype=torch.bool)",
                """a rectangle without padding, at the price of the longer clips' ends. fairseq does so in pre-training;
                here every sample stays, so the longest decides.""",
            ),
            Wrong(
                "all real",
                HEAD
                + "    waveforms = torch.stack([torch.nn.functional.pad(c, (0, longest - len(c))) for c in clips])\n"
                "    return waveforms, torch.ones_like(waveforms, dtype=torch.bool)",
                """the waveforms are right. The mask says that all of it is real, padding included: then nobody remembers
                where the short clips end.""",
            ),
            Wrong(
                "lengths as mask",
                HEAD
                + "    waveforms = torch.stack([torch.nn.functional.pad(c, (0, longest - len(c))) for c in clips])\n"
                "    return waveforms, torch.tensor([len(clip) for clip in clips])",
                """the lengths hold the same knowledge (torchaudio takes them so), but a mask has one bool for each
                sample: spread each length out into a row.""",
            ),
        ),
        cases=toy_clips,
        why="`torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)` makes the waveforms in one call; the library's `pad` uses it (`w2vlearn/batch.py`).",
    ),
    Exercise(
        id="1.4",
        title="normalise a batch that is padded already",
        level="stretch",
        minutes=8,
        task="""
Write `normalise(waveforms, mask)` for a padded batch: each clip to mean 0 and variance 1 over its real samples, by `(x - mean) / sqrt(variance + {{EPSILON}})`,
and its padding back to 0. The variance divides by the number of real samples (`correction=0`). Shapes: `(B, L)`, `(B, L)` bool, `(B, L)` out.
""",
        name="normalise",
        stub="def normalise(waveforms, mask):\n    return ...",
        hints=(
            "A mean over real samples is a sum over real samples, divided by how many there are. A loop over the rows is fine, too.",
            """Row by row: `real = row[keep]`, normalise `real` by its own mean and variance, write it into a row of zeros.
Without a loop: multiply by the mask before every sum, and at the end.""",
        ),
        solution="""
def normalise(waveforms, mask):
    count = mask.sum(1, keepdim=True)  # (B, 1)
    centred = (waveforms - (waveforms * mask).sum(1, keepdim=True) / count) * mask  # (B, L)
    variance = (centred**2).sum(1, keepdim=True) / count  # (B, 1)
    return centred / torch.sqrt(variance + 1e-7)
""",
        says="and a clip comes out the same in every batch. `pad(clips, normalize=True)` does it before padding, where it is easier.",
        wrongs=(
            Wrong(
                "over the padding",
                """
def normalise(waveforms, mask):
    centred = waveforms - waveforms.mean(1, keepdim=True)
    return centred / torch.sqrt(waveforms.var(1, correction=0, keepdim=True) + 1e-7)
""",
                """mean and variance are those of the whole row, padding included, and the padding is no longer 0. The
                result depends on how long the neighbour is.""",
            ),
            Wrong(
                "over the padding, then zeroed",
                """
def normalise(waveforms, mask):
    centred = waveforms - waveforms.mean(1, keepdim=True)
    return centred / torch.sqrt(waveforms.var(1, correction=0, keepdim=True) + 1e-7) * mask
""",
                """the padding is 0 again, good. But mean and variance were taken over the whole row before that, so the
                real samples still know how long the neighbour is.""",
            ),
            Wrong(
                "over the batch",
                """
def normalise(waveforms, mask):
    real = waveforms[mask]
    return (waveforms - real.mean()) / torch.sqrt(real.var(correction=0) + 1e-7) * mask
""",
                """one mean and one variance for all clips: then a loud clip makes its neighbours quiet. Each clip is
                normalised by itself.""",
            ),
            Wrong(
                "padding not zeroed",
                """
def normalise(waveforms, mask):
    count = mask.sum(1, keepdim=True)
    mean = (waveforms * mask).sum(1, keepdim=True) / count
    variance = (((waveforms - mean) * mask) ** 2).sum(1, keepdim=True) / count
    return (waveforms - mean) / torch.sqrt(variance + 1e-7)
""",
                """the real samples are right. The padding was 0, then the mean was taken off it, too: it hums. Put it
                back to 0.""",
            ),
            Wrong(
                "one less",
                """
def normalise(waveforms, mask):
    out = torch.zeros_like(waveforms)
    for row, keep, new in zip(waveforms, mask, out):
        new[keep] = (row[keep] - row[keep].mean()) / torch.sqrt(row[keep].var() + 1e-7)
    return out
""",
                """nearly! `var` and `std` divide by one less than the number of samples unless told otherwise:
                `correction=0`.""",
            ),
            Wrong(
                "variance instead of its root",
                """
def normalise(waveforms, mask):
    out = torch.zeros_like(waveforms)
    for row, keep, new in zip(waveforms, mask, out):
        new[keep] = (row[keep] - row[keep].mean()) / (row[keep].var(correction=0) + 1e-7)
    return out
""",
                """mean and padding are right. The variance is a square: divide by its root, or the clip comes out in
                squared units.""",
            ),
            Wrong(
                "nothing under the root",
                """
def normalise(waveforms, mask):
    out = torch.zeros_like(waveforms)
    for row, keep, new in zip(waveforms, mask, out):
        new[keep] = (row[keep] - row[keep].mean()) / row[keep].std(correction=0)
    return out
""",
                """right for speech, but a clip of pure silence is divided by 0 and becomes NaN, and one NaN spreads. That is
                what the small number under the root is for.""",
            ),
        ),
        cases=toy_batches,
        why="Hugging Face: `zero_mean_unit_var_norm` in `feature_extraction_wav2vec2.py` loops over the clips and sets the padding afterwards.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"


def _same_in_every_batch() -> bool:
    yes, digits, question = (example(name) for name in ("yes", "digits", "question"))
    alone = pad([yes], normalize=True).waveforms[0]
    return all(torch.equal(alone, pad([yes, o], normalize=True).waveforms[0, :YES]) for o in (digits, question))


CLAIMS = {"a clip is exactly the same in every batch": _same_in_every_batch}
