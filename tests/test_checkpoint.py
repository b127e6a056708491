"""load and save: folders of every shape that transformers writes or wrote; what does not fit is refused in words."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import w2vlearn.model
from w2vlearn import Wav2Vec2Config
from w2vlearn.checkpoints import CheckpointError, Processing, Vocabulary, load, save
from w2vlearn.checkpoints.keys import HEADS

TINY = Wav2Vec2Config.tiny()
FAMILIES = {
    "base": TINY,
    "large": dataclasses.replace(TINY, hidden_size=64, num_hidden_layers=3),  # on LibriSpeech: group norm, post-norm
    "large_lv60": dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True),
}


def theirs(config=TINY, head="ctc"):
    """A random Hugging Face model in eval mode."""
    values = config.to_dict()
    del values["model_type"]
    return getattr(transformers, HEADS.get(head, head))(transformers.Wav2Vec2Config(**values)).eval()


def write(folder, model, **options):
    model.save_pretrained(folder, **options)
    return folder


def output(model):
    with torch.no_grad():
        result = model(torch.randn(2, 6000, generator=torch.Generator().manual_seed(1)))
    values = result if isinstance(result, dict) else vars(result)
    return next(values[name] for name in ("logits", "projected_states", "last_hidden_state") if name in values)


def same(ours, reference, tolerance=2e-6):
    assert not ours.training
    torch.testing.assert_close(output(ours), output(reference), atol=tolerance, rtol=0)


def refused(folder, message, **options):
    """What load says; where it advises head='plain', and only there, the encoder loads that way."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder, **options)
    text = str(caught.value)
    if "load(…, head='plain')" in text:
        assert type(load(folder, head="plain")).__name__ == "Wav2Vec2Model"
    else:
        with pytest.raises(CheckpointError):
            load(folder, head="plain")
    return text


# ------------------------------------------------------------------------------------------- what transformers writes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_by_transformers_to_us_and_back(tmp_path, family, head):
    reference = theirs(FAMILIES[family], head)
    write(tmp_path, reference, max_shard_size="20KB" if family == "large" else "5GB")
    random_state = torch.get_rng_state()
    model = load(tmp_path)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert type(model).__name__ == HEADS[head] and model.loaded.head == head
    assert all(weight.requires_grad for weight in model.parameters())
    assert (len(model.loaded.files) > 5) if family == "large" else (model.loaded.files == ("model.safetensors",))
    for file in model.loaded.files:
        (tmp_path / file).write_bytes(b"gone")  # the weights are no view of the file
    same(model, reference)
    save(model, tmp_path / "again")
    save(model, tmp_path / "again")  # over what is there
    again, info = getattr(transformers, HEADS[head]).from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    same(model, again.eval())
    ours = load(tmp_path / "again")
    assert ours.config == model.config == FAMILIES[family]
    assert all(torch.equal(weight, ours.state_dict()[key]) for key, weight in reference.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_loaded_as_float32_and_may_be_stored_again(tmp_path, dtype):
    reference = theirs().to(dtype)
    model = load(write(tmp_path, reference))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    as_stored = load(tmp_path, dtype=dtype).state_dict()
    save(model, tmp_path / "ours", dtype=dtype)
    stored = load_file(tmp_path / "ours" / "model.safetensors")
    for key, weight in reference.state_dict().items():
        assert as_stored[key].dtype == stored[key].dtype == dtype
        assert torch.equal(as_stored[key], weight) and torch.equal(stored[key], weight)
    same(model, transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path / "ours").eval())


# ---------------------------------------------------------------------------------------------- as people have them


def store(folder, model, rename=dict, shards=1, zipped=True, **config):
    """Write a model as of 2021: pytorch_model.bin, whole or in shards, keys as ``rename`` makes them."""
    values = json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]} | config
    (folder / "config.json").write_text(json.dumps(values))
    weights = rename(model.state_dict())
    names = [f"pytorch_model-{n}.bin" for n in range(shards)] if shards > 1 else ["pytorch_model.bin"]
    table = {key: names[index % shards] for index, key in enumerate(weights)}
    for name in names:
        part = {key: weights[key] for key in weights if table[key] == name}
        torch.save(part, folder / name, _use_new_zipfile_serialization=zipped)
    if shards > 1:
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return folder


class OwnHead(transformers.Wav2Vec2PreTrainedModel):
    """Somebody's fine-tune: a head with names of its own, one of which is also a name inside the encoder."""

    def __init__(self, config):
        super().__init__(config)
        self.wav2vec2 = transformers.Wav2Vec2Model(config)
        self.speech_head = torch.nn.Linear(config.hidden_size, 5)
        self.adapter = torch.nn.Linear(5, 5)
        self.post_init()


def renamed(*pairs):
    """Weights under other names: (what is replaced once in each key, by what)."""

    def rename(key):
        for part, other in pairs:
            key = key.replace(part, other, 1)
        return key

    return lambda weights: {rename(key): value for key, value in weights.items()}


def prefixed(prefix):
    return lambda weights: {f"{prefix}{key}": value for key, value in weights.items()}


BEFORE_TORCH_2_1 = renamed(*((f"parametrizations.weight.original{n}", f"weight_{name}") for n, name in enumerate("gv")))
ELSEWHERE = renamed(("wav2vec2.", "net.backbone."))
NAMELESS = {"architectures": None}
ZEROS = torch.zeros(2)
FOLDERS = {
    "names as before torch 2.1, in shards": ("ctc", BEFORE_TORCH_2_1, {"shards": 3}),
    "the first name of the CTC class": ("ctc", dict, {"architectures": ["Wav2Vec2ForMaskedLM"]}),
    "a CTC model without a prefix": ("ctc", renamed(("wav2vec2.", "")), {}),
    "a CTC model with another prefix": ("ctc", ELSEWHERE, {}),
    "saved from DataParallel": ("ctc", prefixed("module."), {}),
    "a file without zip, as before torch 1.6": ("ctc", dict, {"zipped": False}),
    "a plain model, told by its keys": ("plain", dict, NAMELESS),
    "a plain model with a prefix": ("plain", prefixed("wav2vec2."), {}),
    "pre-training, told by its keys": ("pretraining", dict, NAMELESS),
    "pre-training with another prefix": ("pretraining", ELSEWHERE, {}),
    "classification, told by its keys": ("classification", dict, NAMELESS),
    "x-vectors, told by nothing": ("Wav2Vec2ForXVector", dict, NAMELESS),
    "a class per frame": ("Wav2Vec2ForAudioFrameClassification", dict, {}),
    "a head of one's own": (OwnHead, dict, {}),
    "a head of one's own, told by nothing": (OwnHead, dict, NAMELESS),
    "a head of one's own, with another prefix": (OwnHead, ELSEWHERE, {}),
    "another vector of time masks beside": (OwnHead, lambda weights: weights | {"masked_spec_embed": ZEROS}, {}),
}


@pytest.mark.parametrize("head, rename, options", FOLDERS.values(), ids=FOLDERS)
def test_folders_as_people_have_them_and_the_encoder_of_each(tmp_path, head, rename, options):
    reference = OwnHead(theirs().config).eval() if head is OwnHead else theirs(head=head)
    store(tmp_path, reference, rename, **options)
    if head in HEADS:
        model = load(tmp_path)
        assert type(model).__name__ == HEADS[head]
        same(model, reference)
    else:
        refused(tmp_path, r"load\(…, head='plain'\)")
    encoder = load(tmp_path, head="plain")
    same(encoder, getattr(reference, "wav2vec2", reference))
    left_out = [key for key in reference.state_dict() if head != "plain" and not key.startswith("wav2vec2.")]
    assert all(key in str(encoder.loaded) for key in left_out)


def test_two_names_for_one_tensor(tmp_path):
    reference = theirs()
    weights = {key: value.clone() for key, value in reference.state_dict().items()}
    kept, other = (f"wav2vec2.encoder.layers.{layer}.final_layer_norm.bias" for layer in (0, 1))
    reference.load_state_dict({**weights, other: weights[kept]})
    write(tmp_path, reference)
    del weights[other]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt", other: kept})  # as save_model ties
    same(load(tmp_path), reference)


@pytest.mark.parametrize("asked, stored", [("ctc", "plain"), ("ctc", "classification"), ("pretraining", "ctc")])
def test_a_head_that_is_not_stored_is_not_invented(tmp_path, asked, stored):
    write(tmp_path, theirs(head=stored))
    text = refused(tmp_path, r"load\(…, head='plain'\)", head=asked)
    assert "missing: " in text and "missing: wav2vec2" not in text
    with pytest.raises(CheckpointError, match="one of plain, ctc"):
        load(tmp_path, head=asked.upper())


def without(*keys):
    return lambda weights: {key: value for key, value in weights.items() if key not in keys}


def test_the_vector_of_time_masks_may_be_missing_as_in_base_960h_or_left_over(tmp_path):
    reference = theirs()
    model = load(store(tmp_path, reference, mask_time_prob=0.0))
    same(model, reference)
    assert "masked_spec_embed was left out" in str(model.loaded)
    model = load(store(tmp_path, reference, without("wav2vec2.masked_spec_embed")))
    same(model, reference)
    assert "masked_spec_embed is not stored" in str(model.loaded)


def test_every_key_that_does_not_fit_is_listed_or_told_to_be_there_twice(tmp_path):
    wrong = {
        "wrong shape": ("lm_head.weight", "wav2vec2.encoder.layers.0.attention.k_proj.bias"),
        "missing": ("wav2vec2.encoder.layer_norm.bias", "wav2vec2.feature_projection.projection.weight"),
        "unexpected": ("something.else", "wav2vec2.encoder.layers.7.layer_norm.weight"),
    }
    for kinds in (["wrong shape"], ["missing"], ["unexpected"], list(wrong)):
        expected = {key: kind for kind in kinds for key in wrong[kind]}
        zeros = {key: torch.zeros(3, 5) for key, kind in expected.items() if kind != "missing"}
        store(tmp_path, theirs(), lambda weights, zeros=zeros, gone=expected: without(*gone)(weights) | zeros)
        text = refused(tmp_path, "does not fit Wav2Vec2ForCTC")
        lines = [line.strip().split(": ") for line in text.splitlines()[1:]]
        assert {key.split(" ")[0]: kind for kind, key in lines} == expected and len(lines) == len(expected)
        assert ("lm_head.weight is (3, 5), wanted (32, 48)" in text) == ("wrong shape" in kinds)
    twice = {"wav2vec2.encoder.pos_conv_embed.conv.weight_g": torch.zeros(1, 1, 128)}
    refused(store(tmp_path, theirs(), lambda weights: weights | twice), "twice")


FIELDS = {
    "do_normalize": st.booleans(),
    "return_attention_mask": st.booleans(),
    "sampling_rate": st.integers(1, 48_000),
}
SETTINGS = st.fixed_dictionaries({}, optional=FIELDS)
NEWER = st.fixed_dictionaries({"feature_extractor": SETTINGS}, optional=FIELDS)  # in processor_config.json since 2024


@given(old=SETTINGS, new=st.none() | SETTINGS | NEWER, both=st.booleans())
def test_processor_settings_are_those_that_transformers_reads(old, new, both):
    """Any field absent, both files disagreeing, and files as of 2023, of which nothing is read."""
    with tempfile.TemporaryDirectory() as name:
        if new is not None:
            (Path(name) / "processor_config.json").write_text(json.dumps(new))
        if both or "feature_extractor" not in (new or {}):
            (Path(name) / "preprocessor_config.json").write_text(json.dumps(old))
        extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(name)
        settings = Processing.from_folder(Path(name))
    assert settings == Processing(extractor.sampling_rate, extractor.do_normalize, extractor.return_attention_mask)


# -------------------------------------------------------------------------------------------------- refused, in words


class Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))


def replace(name, content):
    return lambda folder: (folder / name).write_text(json.dumps(content) if isinstance(content, dict) else content)


def instead(name, content=b"x"):
    """This file in place of the weights."""

    def exchange(folder):
        (folder / "model.safetensors").unlink()
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            torch.save(content, folder / name)

    return exchange


def test_code_in_a_bin_is_not_run(tmp_path):
    for content in ({"weight": Evil()}, pickle.dumps({"weight": Evil()}, protocol=2)):
        instead("pytorch_model.bin", content)(write(tmp_path, theirs()))
        refused(tmp_path, "not unpickled")
    assert not Evil.ran


def altered(change):
    def alter(folder):
        (folder / "model.safetensors").unlink()
        store(folder, theirs(), change)

    return alter


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def dangle(folder):
    """As in a hub's cache whose blobs were deleted."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "blob")


def lose_a_shard(folder):
    (folder / "model.safetensors").unlink()
    theirs().save_pretrained(folder, max_shard_size="20KB")
    next(folder.glob("model-00003*")).unlink()


def repeat_a_shard(folder):
    (folder / "model.safetensors").unlink()
    theirs().save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*"))
    shutil.copy(shards[0], shards[1])


def own_tokenizer(folder):
    replace("vocab.json", {"<pad>": 0})(folder)
    replace("tokenizer_config.json", {"tokenizer_class": "MyTokenizer"})(folder)


INDEX = "model.safetensors.index.json"
LAYER_9 = {"wav2vec2.encoder.layers.9.layer_norm.weight": torch.zeros(2)}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
DAMAGES = [
    (replace("config.json", {"model_type": "whisper"}), "'whisper' model.*trace"),
    (replace("config.json", {"num_attention_heads": 7}), "must divide"),
    (lambda folder: (folder / "config.json").unlink(), "holds no config.json, found .*model.safetensors"),
    (replace("config.json", "{"), "not JSON"),
    (replace("config.json", "[]"), "holds a list"),
    (lambda folder: (folder / "config.json").write_bytes(b"\xff"), "config.json is not JSON"),
    (replace("preprocessor_config.json", {"feature_extractor_type": "Whisper"}), r"another model .Whisper"),
    (replace("preprocessor_config.json", {"sampling_rate": True}), "samples per second, found True"),
    (replace("preprocessor_config.json", {"unsure_below": "0.6"}), "mean confidence, 0 to 1, found '0.6'"),
    (own_tokenizer, r"MyTokenizer.*load\(…, head='plain'\)"),
    (replace("model.safetensors", "no tensors"), "damaged"),
    *((replace(name, POINTER), "git lfs pull") for name in ("config.json", "model.safetensors")),
    (cut, "damaged"),
    (dangle, "holds no weights"),
    (lose_a_shard, "model-00003"),
    (repeat_a_shard, "repeats .* of an earlier shard"),
    (altered(lambda weights: {**weights, "x": torch.zeros(2, dtype=torch.int8)}), "quantised"),
    (altered(lambda weights: weights | LAYER_9), "layers.9"),
    (altered(lambda weights: weights | {"post_extract_proj.weight": torch.zeros(2)}), "a name of fairseq's"),
    (instead("tf_model.h5"), "holds no weights.*found .*tf_model.h5.*TensorFlow"),
    (instead("pytorch_model.bin"), "not unpickled|no torch file"),
    (instead("pytorch_model.bin", {"args": None, "model": {}}), "fairseq"),
    (instead("pytorch_model.bin", [1, 2]), "holds a list"),
    (instead("pytorch_model.bin", {"step": 3}), "no tensors: step"),
    (instead(INDEX, b'{"weight_map": {"a": "../secret.safetensors"}}'), "not beside it: ../secret"),
    (instead(INDEX, b"{}"), "no .weight_map"),
]


@pytest.mark.parametrize("damage, message", DAMAGES)
def test_damaged_folders_and_other_models(tmp_path, damage, message):
    damage(write(tmp_path, theirs()))
    refused(tmp_path, message)


@pytest.mark.parametrize(
    "name, message",
    [
        *((name, r"no checkpoint.*hub id") for name in ("no-such-model", "no/such/folder", "digits group")),
        ("", "holds no config"),  # the empty path is the current folder
        ("some.json", "the folder that holds it"),
        ("https://huggingface.co/facebook/wav2vec2-base-960h", r"a URL.*load\('facebook/wav2vec2-base-960h'\)"),
        ("https://example.org/model", "a URL.*Download it"),
    ],
)
def test_no_such_checkpoint(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.json").write_text("{}")
    refused(name, message)


# ----------------------------------------------------------------------------------------------- saved here, read there


def test_save_keeps_vocabulary_and_processing_and_refuses_what_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = w2vlearn.model.Wav2Vec2ForCTC(dataclasses.replace(TINY, vocab_size=3))
    model.vocabulary = Vocabulary(("|", "a", "<pad>"), lower=True)
    model.processing = Processing(16_000, True, True, unsure_below=0.6)
    assert save(model, "~/saved") == tmp_path / "saved"
    again = load("~/saved")
    assert again.vocabulary == model.vocabulary and again.processing == model.processing
    assert "config.json calls id 0 the blank, the vocabulary id 2" in str(again.loaded)
    for other, message in ((torch.nn.Linear(2, 2), "found a Linear"), (theirs(), "w2vlearn's own")):
        with pytest.raises(TypeError, match=message):
            save(other, tmp_path)
