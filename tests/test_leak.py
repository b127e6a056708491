"""How far padding moves valid frames: nowhere with layer norm and a mask; group norm's leak, which no mask repairs."""

import dataclasses

import pytest
import torch
from torch import nn

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model, pad
from w2vlearn.show.sentences import leak_reason
from w2vlearn.tracing.leak import padding_leak

TINY = Wav2Vec2Config.tiny()
TINY_LAYER = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
GROUP_NORM = "wav2vec2.feature_extractor.conv_layers.0.layer_norm"
POSITIONS = "wav2vec2.encoder.pos_conv_embed.conv"


def clips(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, generator=generator) for length in lengths]


def model_of(config):
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(config).eval()


@pytest.fixture(scope="module")
def reports():
    """Other people's models are in test_trace_families.py."""
    configs = {"group": TINY, "layer": TINY_LAYER}
    return {name: padding_leak(model_of(config), clips(8000, 3000)) for name, config in configs.items()}


@pytest.mark.parametrize(
    ("norm", "masked", "entry", "why", "untouched"),
    [
        ("layer", True, None, "no layer", ""),
        ("layer", False, POSITIONS, "reads neighbouring positions", "wav2vec2.feature_projection"),
        ("group", True, GROUP_NORM, "no mask can undo that", "wav2vec2.feature_extractor.conv_layers.0.conv"),
        ("group", False, GROUP_NORM, "no mask can undo that", "wav2vec2.feature_extractor.conv_layers.0.conv"),
    ],
)
def test_padding_gets_in_where_a_layer_looks_at_it(reports, norm, masked, entry, why, untouched):
    run = reports[norm].runs[masked]
    assert run.entry == entry and why in leak_reason(run) and len(run.layers) > 60
    assert run[untouched].relative < 3e-6
    if entry is None:
        assert max(layer.relative for layer in run.layers) < 3e-6
    else:
        assert run.worst.relative > 1e-2


def test_numbers_are_those_of_a_comparison_by_hand(reports):
    short, long = clips(8000, 3000)[::-1]
    model = model_of(TINY)
    batch = pad([long, short])
    with torch.no_grad():
        difference = model(batch.waveforms, batch.mask).logits[1:, :9] - model(short[None]).logits
        alone = model(short[None]).logits
    leak = reports["group"].with_mask.worst
    assert leak.absolute >= difference.abs().max().item() * 0.999
    assert leak.per_clip[1] == pytest.approx((difference.norm() / alone.norm()).item(), rel=1e-4)
    torch.testing.assert_close(leak.per_frame[1], difference[0].norm(dim=1) / alone[0].norm(dim=1), rtol=1e-4, atol=0)


def test_a_model_in_double_precision_is_held_to_a_finer_tolerance():
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 5, padding=2)).double()
    batch = pad(clips(600, 500))
    report = padding_leak(conv, dataclasses.replace(batch, waveforms=batch.waveforms.double()))
    assert report.without_mask.tolerance < 1e-9
    assert report.without_mask.entry is None  # zeros beside the clip are what it would see alone
    assert report.with_mask is None and "takes no mask" in report.note


def test_heat_map_has_a_row_per_layer_on_frames_and_a_column_per_valid_frame():
    torch.manual_seed(0)
    report = padding_leak(Wav2Vec2Model(dataclasses.replace(TINY_LAYER, add_adapter=True)), clips(8000, 3000))
    names, values = report.heat(masked=False)
    assert values.shape == (len(names), 9) and "encoder.layers.1" in names and not any("adapter" in n for n in names)
    assert values[names.index("feature_projection")].max() < 1e-5 and report.heat()[1].max() < 1e-5
    picture = report.figure(masked=False)
    assert "without mask" in picture.alt and "9 valid frames of clip 1" in picture.alt
    assert "encoder.layers.1" in str(picture) and "encoder.pos_conv_embed.conv" in str(picture)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((500,), "found one clip: alone it has no padding"),
        ((500, 500, 500), "all 3 clips have 500 samples: no padding"),
    ],
)
def test_nothing_to_see_is_said(lengths, message):
    with pytest.raises(ValueError, match=message):
        padding_leak(model_of(TINY), clips(*lengths))


class SelfAttention(nn.Module):
    """Attention by hand, with a Linear behind it: the Linear's output is the first recorded one that differs."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 8)

    def forward(self, x, attention_mask=None):
        scores = x @ x.transpose(1, 2)  # (B, T, T)
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask[:, None], float("-inf"))
        return self.out(scores.softmax(-1) @ x)


class AttentionFirst(nn.Module):
    """Each sample by itself, until an attention looks at all of them."""

    def __init__(self):
        super().__init__()
        self.embed, self.attention, self.head = nn.Linear(1, 8), SelfAttention(), nn.Linear(8, 2)

    def forward(self, waveforms, attention_mask=None):
        return self.head(self.attention(self.embed(waveforms[:, :, None]), attention_mask))


def test_the_way_in_is_the_attention_not_what_holds_it_nor_what_it_holds():
    torch.manual_seed(0)
    report = padding_leak(AttentionFirst().eval(), clips(600, 400))
    run = report.without_mask
    assert run.entry == "attention" and "attends to padded frames: it got no mask" in leak_reason(run)
    assert run["embed"].relative <= run.tolerance and report.with_mask.entry is None
