"""What a trace makes of arguments (clips and masks anywhere, masks that do not fit, wrappers, types), and of modules
that take part without being called."""

from __future__ import annotations

import re
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from families import family
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from trace_helpers import Convolutions, Takes, TorchaudioLike, module, untouched

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC
from w2vlearn.batch import pad
from w2vlearn.model import Wav2Vec2ForSequenceClassification
from w2vlearn.tracing import TraceError, padding_leak, receptive_field, trace

LENGTHS = (500, 700, 1000)
FRAMES = (49, 69, 99)
LAYER_NORM = replace(Wav2Vec2Config.tiny(), feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)


@pytest.fixture(scope="module")
def short():
    return pad([torch.full((n,), 0.1) for n in LENGTHS])


# ---------------------------------------------------------------- clips and masks inside one argument


@dataclass
class Data:
    input_values: torch.Tensor
    attention_mask: torch.Tensor


Named = namedtuple("Named", "input_values attention_mask")


def clips_of(waveforms, mask):
    return [row[valid] for row, valid in zip(waveforms, mask, strict=True)]


CONTAINERS = {  # how waveforms and mask are packed, and how the model gets the waveforms out
    "dict": (lambda w, m: {"input_values": w, "attention_mask": m}, lambda b: b["input_values"]),
    "BatchFeature": (
        lambda w, m: transformers.BatchFeature({"input_values": w, "attention_mask": m}), lambda b: b["input_values"],
    ),
    "dataclass": (Data, lambda b: b.input_values),
    "namedtuple": (Named, lambda b: b.input_values),
    "list of dicts": (lambda w, m: [{"input_values": w}, {"attention_mask": m}], lambda b: b[0]["input_values"]),
    "tuple of waveforms and mask": (lambda w, m: (w, m), lambda b: b[0]),
    "list of clips": (clips_of, lambda b: pad_sequence(b, batch_first=True)),
    "list of dicts of a clip": (
        lambda w, m: [{"input_values": clip} for clip in clips_of(w, m)],
        lambda b: pad_sequence([one["input_values"] for one in b], batch_first=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTAINERS)
def test_clips_and_mask_inside_one_argument(short, kind):
    pack, find = CONTAINERS[kind]
    model = module(lambda self, batch: self.body(find(batch)), body=Convolutions())
    traced = trace(model, pack(short.waveforms, short.mask))
    assert traced["body"].valid == FRAMES and traced["body"].output.letters[:2] == ("B", "T")
    assert traced.batch.lengths == LENGTHS
    assert "clip" in kind or traced[""].mask.valid == LENGTHS


# ---------------------------------------------------------------- masks that were given and do not fit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention_mask": torch.ones(3, 99) > 0}, r"attention_mask \(3, 99\).*does not fit.*\(3, 1000\)"),
        ({"attention_mask": torch.ones(3, 990) > 0}, r"attention_mask \(3, 990\).*does not fit"),
        ({"lengths": torch.tensor([5, 7, 2000])}, "lengths.*does not fit.*2000 samples, the clips have 1000"),
    ],
)
def test_a_mask_that_does_not_fit_is_never_called_not_given(short, arguments, message):
    traced = trace(Takes(Convolutions()).eval(), short.waveforms, **arguments)
    assert re.search(message, "\n".join(traced.notes)) and "no mask were given" not in str(traced.notes)
    assert traced["inner"].valid is None and traced["inner"].output.letters[:2] == ("B", "T")


@pytest.mark.parametrize("by_name", [False, True])
def test_a_number_per_clip_that_is_not_understood_is_never_called_not_given(short, by_name):
    model = module(lambda self, x, counts=None, speaker_ids=None: self.body(x), body=Convolutions())

    def traced(counts, **others):
        given = {"counts": torch.tensor(counts)}
        arguments = () if by_name else given.values()
        return trace(model, short.waveforms, *arguments, **(given if by_name else {}), **others)

    strange = traced([400, 300, 200])
    assert any("counts (3,) was given and not understood" in note for note in strange.notes), strange.notes
    assert strange["body"].valid is None and "no mask were given" not in str(strange.notes)
    assert traced(LENGTHS, speaker_ids=torch.tensor([1, 2, 3]))["body"].valid == FRAMES
    speakers = trace(model, short.waveforms, speaker_ids=torch.tensor([1, 2, 3]))
    assert speakers["body"].valid == (99, 99, 99)


# ---------------------------------------------------------------- wrappers


def wrapper(base_model: nn.Module) -> nn.Module:
    """As PEFT does it."""
    return module(lambda self, *args, **kwargs: self.base_model(*args, **kwargs), base_model=base_model)


@pytest.mark.parametrize("wrap", [wrapper, nn.DataParallel, lambda m: wrapper(nn.DataParallel(m))])
def test_a_wrapper_hands_the_mask_through(wrap):
    inner = Wav2Vec2ForCTC(LAYER_NORM).eval()
    model, clips = wrap(inner).eval(), [torch.randn(n) for n in (3000, 1500)]
    with torch.no_grad():
        traced, plain = trace(model, pad(clips)), trace(inner, pad(clips))
    assert traced[""].mask.valid == (3000, 1500)
    assert traced[-1].valid == plain[-1].valid and traced[-1].mask == plain[-1].mask
    assert padding_leak(model, clips).with_mask.entry is None


def test_a_wrapper_that_says_nothing_is_answered_with_the_keyword_to_pass(short):
    def opaque(self, *args, **kwargs):
        return self.other(self.inside(*args, **kwargs)[0])

    model = module(opaque, inside=TorchaudioLike(), other=nn.Identity())
    with torch.no_grad():
        traced, named = trace(model, short), trace(model, short, lengths=short.lengths)
    assert any("attention_mask=batch.mask" in note for note in traced.notes)
    assert traced[""].mask is None and named["inside"].mask.valid == LENGTHS and named["other"].valid == FRAMES
    report = padding_leak(model, short)
    assert report.with_mask is None and "takes no mask" not in report.note and "name it" in report.note
    assert padding_leak(model, short, lengths=short.lengths).with_mask is not None


# ---------------------------------------------------------------- taking part without being called


def statuses(traced):
    return {record.name: record.status for record in traced if record.status != "called"}


def test_one_word_for_each_way_of_not_being_called():
    def uses(self, x):
        x = self.tied(x)
        x = self.attention(x, x, x)[0]
        return self.direct.forward(F.linear(x, self.embedding.weight))

    layers = {name: nn.Linear(4, 4) for name in ("tied", "head", "direct", "unused")}
    layers |= {"attention": nn.MultiheadAttention(4, 2, batch_first=True), "embedding": nn.Embedding(4, 4)}
    layers["head"].weight = layers["tied"].weight
    model = module(uses, **layers, drop=nn.Dropout())
    with untouched(model):
        traced = trace(model, torch.zeros(2, 5, 4))
    assert statuses(traced) == {
        "attention.out_proj": "weights used by another layer",
        "head": "weights used by another layer",
        "embedding": "weights used by another layer",
        "direct": "forward() called directly",
        "unused": "skipped",
        "drop": "not called",
    }


def test_layers_called_in_other_threads_are_said():
    def pool(self, x):
        with ThreadPoolExecutor(2) as threads:
            return self.last(sum(threads.map(lambda part: part(x), self.parts)))

    model = module(pool, parts=nn.ModuleList(nn.Linear(4, 4) for _ in range(3)), last=nn.Linear(4, 4))
    with untouched(model):
        traced = trace(model, torch.zeros(2, 5, 4))
    assert statuses(traced) == {f"parts.{i}": "called in another thread" for i in range(3)}
    assert any("another thread" in note and "parts.0" in note for note in traced.notes)


# ---------------------------------------------------------------- masks that are no tensors, quantised layers


def test_a_block_mask_is_seen_and_named():
    from torch.nn.attention.flex_attention import create_block_mask

    def forward(self, x):
        mask = create_block_mask(lambda b, h, i, j: j <= i, None, None, x.shape[1], x.shape[1], device="cpu")
        return self.attention(x, attention_mask=mask)

    model = module(forward, attention=module(lambda self, x, attention_mask=None: x))
    seen = trace(model, torch.zeros(2, 128, 4))["attention"].mask
    assert (seen.kind, seen.form, seen.dtype, seen.valid) == ("attention", "object", "BlockMask", None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quantised_linear_layers_count_and_leak():
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch has no engine for quantised layers")
    plain = family("wav2vec2 layer norm")
    model = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
    clips = [torch.randn(n) for n in (3000, 1500)]
    traced, name = trace(model, pad(clips)), "feature_projection.projection"
    assert traced[name].operation.kind == "linear" and traced[name].parameters == 12 * 24 + 24
    assert traced[""].parameters == sum(p.numel() for p in plain.parameters())
    assert padding_leak(model, clips).with_mask.entry == name, "the range of the whole batch sets its scale"


# ---------------------------------------------------------------- types of numbers


def test_half_precision_models_get_clips_in_their_type(short):
    model = Convolutions().bfloat16().eval()
    traced = trace(model, short)
    assert traced.output.dtype is torch.bfloat16 and traced[""].valid == FRAMES
    assert any("bfloat16" in note for note in traced.notes)
    assert padding_leak(model, short.clips()).without_mask.layers
    assert receptive_field(model, 2, samples=200).span == range(20, 40)
    with pytest.raises(TraceError, match=r"hand over input.to\(torch.bfloat16\)"):
        trace(model, short.waveforms)


def test_numpy_arrays_get_advice_that_works_for_numpy(short):
    array = np.zeros((2, 500))
    with pytest.raises(TraceError, match=r"torch.from_numpy\(array.astype\(\"float32\"\)\)"):
        trace(Convolutions().eval(), array)
    assert trace(Convolutions().eval(), torch.from_numpy(array.astype("float32")))[""].output.shape == (2, 49, 6)


def test_a_classifier_has_classes_not_a_vocabulary(short):
    torch.manual_seed(0)
    model = Wav2Vec2ForSequenceClassification(Wav2Vec2Config.tiny()).eval()
    clips = [torch.full((n,), 0.1) for n in (3000, 2000, 1000)]
    with torch.no_grad():
        traced = trace(model, pad(clips))
    assert traced.letters["N"] == 2 and "V" not in traced.letters and traced[""].output.letters == ("B", "N")
    names, heat = padding_leak(model, clips).heat()
    assert heat.shape == (len(names), 2) and "wav2vec2.encoder.layers.1" in names
