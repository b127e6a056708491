"""Presets, Hugging Face's config.json in and out, and numbers that cannot make a model."""

import dataclasses
import inspect

import pytest
import transformers

from w2vlearn import Wav2Vec2Config
from w2vlearn.config import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_transformers_reads_our_config_and_we_read_it_back(name, tmp_path):
    config = Wav2Vec2Config.from_preset(name.upper())
    values = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    transformers.Wav2Vec2Config(**values).save_pretrained(tmp_path)
    assert Wav2Vec2Config.from_json(tmp_path) == config
    assert Wav2Vec2Config.from_json(tmp_path / "config.json") == config


def test_defaults_are_those_of_transformers_base():
    theirs = transformers.Wav2Vec2Config().to_dict()
    ours = Wav2Vec2Config.base().to_dict()
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 40
    assert {key: ours[key] for key in shared} == {
        key: list(theirs[key]) if isinstance(theirs[key], tuple) else theirs[key] for key in shared
    }


REFUSED = {"hidden_act": "relu", "feat_extract_activation": "relu", "adapter_attn_dim": 16}
OF_OTHER_HEADS = {"tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim"}
NO_EFFECT = {"bos_token_id", "eos_token_id", "initializer_range"}  # initializer_range: on new weights only


def test_every_field_of_transformers_is_read_or_refused_by_name_or_has_no_effect():
    base = getattr(transformers, "PreTrainedConfig", None) or transformers.PretrainedConfig
    fields, shared = (set(inspect.signature(kind).parameters) for kind in (transformers.Wav2Vec2Config, base))
    unread = fields - shared - {"kwargs"} - Wav2Vec2Config().to_dict().keys()
    assert unread == REFUSED.keys() | OF_OTHER_HEADS | NO_EFFECT
    for field, value in REFUSED.items():
        with pytest.raises(ValueError, match=f"{field} = '?{value}"):
            Wav2Vec2Config.from_dict({field: value})


def test_every_preset_has_the_same_geometry():
    tables = {(c.conv_kernel, c.conv_stride) for c in map(Wav2Vec2Config.from_preset, PRESETS)}
    assert tables == {((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_kernel": (10, 3)}, "equally long"),
        ({"conv_stride": (5, 0, 2, 2, 2, 2, 2)}, "conv_stride must hold numbers of at least 1"),
        ({"feat_extract_norm": "batch"}, "found 'batch'"),
        ({"num_attention_heads": 7}, "num_attention_heads = 7 must divide hidden_size = 768"),
        ({"num_conv_pos_embedding_groups": 5}, "num_conv_pos_embedding_groups = 5 must divide"),
        ({"hidden_size": 0}, "hidden_size must be a whole number of at least 1, found 0"),
        ({"hidden_size": "48"}, "of at least 1, found .48."),
        ({"hidden_dropout": "0.1"}, "is a share, 0 … 1, found .0.1."),
        ({"attn_implementation": "flash"}, 'attn_implementation is "sdpa" or "eager", found \'flash\''),
        ({"ctc_loss_reduction": "average"}, "ctc_loss_reduction is .* found 'average'"),
        ({"num_codevector_groups": 3}, "num_codevector_groups = 3 must divide codevector_dim = 256"),
        ({"hidden_dropout": 1.5}, "hidden_dropout is a share, 0 … 1, found 1.5"),
        ({"mask_time_prob": -0.1}, "mask_time_prob is a share"),
        ({"vocab_size": 0}, "vocab_size must be a whole number"),
        ({"add_adapter": True, "adapter_kernel_size": 4}, "adapter_kernel_size = 4: at most 3"),
    ],
)
def test_impossible_numbers_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Wav2Vec2Config.base(), **changes)


def test_missing_or_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config at"):
        Wav2Vec2Config.from_json(tmp_path)
    for text in ("{", "[1, 2]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json"):
            Wav2Vec2Config.from_json(tmp_path)
    with pytest.raises(ValueError, match="choose one of base, large, large_lv60, tiny"):
        Wav2Vec2Config.from_preset("huge")
