"""load and save: folders of every shape that transformers writes or wrote; what does not fit is refused in words."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import w2vlearn.model
from w2vlearn import Wav2Vec2Config
from w2vlearn.checkpoints import CheckpointError, Processing, Vocabulary, load, save

TINY = Wav2Vec2Config.tiny()
LAYER = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
LARGE = dataclasses.replace(TINY, hidden_size=64, num_hidden_layers=3)  # LARGE on LibriSpeech: group norm, post-norm
FAMILIES = {"base": TINY, "large": LARGE, "large_lv60": LAYER}
HEADS = {
    "ctc": "Wav2Vec2ForCTC",
    "pretraining": "Wav2Vec2ForPreTraining",
    "classification": "Wav2Vec2ForSequenceClassification",
    "plain": "Wav2Vec2Model",
}
TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")


@pytest.fixture(autouse=True, scope="module")
def quiet():
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("transformers").setLevel(logging.ERROR)


def theirs(config=TINY, head="ctc", seed=0):
    """A random Hugging Face model in eval mode."""
    torch.manual_seed(seed)
    values = config.to_dict()
    del values["model_type"]
    return getattr(transformers, HEADS.get(head, head))(transformers.Wav2Vec2Config(**values)).eval()


def write(folder, model, **kwargs):
    model.save_pretrained(folder, **kwargs)
    return folder


def clips(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 6000, generator=generator)


def output(model, mask=None):
    with torch.no_grad():
        result = model(clips(), attention_mask=mask)
    return next(
        result[name] if isinstance(result, dict) else getattr(result, name)
        for name in ("logits", "projected_states", "last_hidden_state")
        if (name in result if isinstance(result, dict) else hasattr(result, name))
    )


def same(ours, reference, tolerance=2e-6):
    assert not ours.training
    difference = (output(ours) - output(reference)).abs().max()
    assert difference <= tolerance, difference


# ------------------------------------------------------------------------------------------- what transformers writes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_by_transformers_to_us_and_back(tmp_path, family, head):
    reference = theirs(FAMILIES[family], head)
    reference.save_pretrained(tmp_path, max_shard_size="20KB" if family == "large" else "5GB")
    model = load(tmp_path)
    assert type(model).__name__ == HEADS[head] and model.loaded.head == head
    assert (len(model.loaded.files) > 5) if family == "large" else (model.loaded.files == ("model.safetensors",))
    same(model, reference)
    if family != "large":
        save(model, tmp_path)  # over what was loaded
    else:
        save(model, tmp_path := tmp_path / "again")
    again, info = getattr(transformers, HEADS[head]).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    same(model, again.eval())
    ours = load(tmp_path)
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
    same(model, reference.float())
    same(model, load(tmp_path / "ours"), tolerance=0)
    same(model, transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path / "ours").eval())


@pytest.fixture
def old_folder(tmp_path):
    """Write a folder as of 2021: pytorch_model.bin, whole or in shards, keys as given."""

    def write_old(weights, shards=0, architectures=("Wav2Vec2ForCTC",), config=TINY, zipped=True):
        values = {**config.to_dict(), "architectures": architectures and list(architectures)}
        (tmp_path / "config.json").write_text(json.dumps(values))
        if not shards:
            torch.save(weights, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
            return tmp_path
        table = {}
        for number in range(shards):
            name = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
            part = {key: weights[key] for index, key in enumerate(weights) if index % shards == number}
            torch.save(part, tmp_path / name)
            table.update(dict.fromkeys(part, name))
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
        return tmp_path

    return write_old


def old_names(weights):
    return {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in weights.items()
    }


def prefixed(prefix):
    return lambda weights: {f"{prefix}{key}": value for key, value in weights.items()}


OLD = {
    "names as before torch 2.1": ("ctc", old_names, {}),
    "in shards": ("ctc", old_names, {"shards": 3}),
    "the first name of the CTC class": ("ctc", dict, {"architectures": ("Wav2Vec2ForMaskedLM",)}),
    "told by its keys": ("plain", dict, {"architectures": None}),
    "a plain model with a prefix": ("plain", prefixed("wav2vec2."), {"architectures": ("Wav2Vec2Model",)}),
    "a CTC model without": (
        "ctc",
        lambda weights: {key.removeprefix("wav2vec2."): weights[key] for key in weights},
        {},
    ),
    "saved from DataParallel": ("ctc", prefixed("module."), {}),
    "a file without zip, as before torch 1.6": ("ctc", dict, {"zipped": False}),
}


@pytest.mark.parametrize("head, rename, options", OLD.values(), ids=OLD)
def test_folders_as_people_have_them(old_folder, head, rename, options):
    reference = theirs(head=head)
    model = load(old_folder(rename(reference.state_dict()), **options))
    assert type(model).__name__ == HEADS[head]
    same(model, reference)


def test_two_names_for_one_tensor(tmp_path):
    reference = theirs()
    weights = {key: value.clone() for key, value in reference.state_dict().items()}
    kept, other = (f"wav2vec2.encoder.layers.{layer}.final_layer_norm.bias" for layer in (0, 1))
    reference.load_state_dict({**weights, other: weights[kept]})
    write(tmp_path, reference)
    del weights[other]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt", other: kept})  # as save_model ties
    same(load(tmp_path), reference)


def test_loading_leaves_the_random_state_and_gives_trainable_weights_of_their_own(tmp_path):
    write(tmp_path, theirs())
    before = torch.get_rng_state()
    model = load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.requires_grad for weight in model.parameters())
    (tmp_path / "model.safetensors").write_bytes(b"gone")  # the weights are no view of the file
    assert torch.isfinite(output(model)).all()


# ------------------------------------------------------------------------------------------------- heads and allowances


class OwnHead(transformers.Wav2Vec2PreTrainedModel):
    """Somebody's fine-tune: a head with names of its own, one of which is also a name inside the encoder."""

    def __init__(self, config):
        super().__init__(config)
        self.wav2vec2 = transformers.Wav2Vec2Model(config)
        self.speech_head = torch.nn.Linear(config.hidden_size, 5)
        self.adapter = torch.nn.Linear(5, 5)
        self.post_init()


def as_it_is(folder):
    pass


def without_architectures(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "architectures": None}))


def under_another_name(folder):
    weights = load_file(folder / "model.safetensors")
    renamed = {key.replace("wav2vec2.", "net.backbone.", 1): weight for key, weight in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "head, change",
    [
        *(("ctc", under_another_name), ("pretraining", without_architectures), ("classification", as_it_is)),
        *(("pretraining", under_another_name), ("classification", without_architectures)),
        *(("Wav2Vec2ForXVector", without_architectures), ("Wav2Vec2ForAudioFrameClassification", as_it_is)),
        *((OwnHead, change) for change in (as_it_is, without_architectures, under_another_name)),
    ],
)
def test_of_any_head_the_encoder_loads_and_whoever_is_advised_to_do_so_can(tmp_path, head, change):
    reference = theirs(head=head) if isinstance(head, str) else OwnHead(theirs().config).eval()
    change(write(tmp_path, reference))
    if head in HEADS:
        same(load(tmp_path), reference)
    else:
        with pytest.raises(CheckpointError, match=r"load\(…, head='plain'\)"):
            load(tmp_path)
    model = load(tmp_path, head="plain")  # the advice
    assert type(model).__name__ == "Wav2Vec2Model"
    same(model, reference.wav2vec2)
    left_out = {key for key in reference.state_dict() if not key.startswith("wav2vec2.")}
    assert left_out and all(key in str(model.loaded) for key in left_out)


@pytest.mark.parametrize("asked, stored", [("ctc", "plain"), ("ctc", "classification"), ("pretraining", "ctc")])
def test_a_head_that_is_not_stored_is_not_invented(tmp_path, asked, stored):
    reference = write(tmp_path, theirs(head=stored))
    with pytest.raises(CheckpointError, match=r"load\(…, head='plain'\)") as caught:
        load(tmp_path, head=asked)
    assert caught.value.missing and not any(key.startswith("wav2vec2") for key in caught.value.missing)
    assert type(load(reference, head="plain")).__name__ == "Wav2Vec2Model"


def test_advice_is_not_given_where_it_would_not_help(tmp_path):
    weights = load_file(write(tmp_path, theirs()) / "model.safetensors")
    weights["wav2vec2.encoder.layers.9.layer_norm.weight"] = torch.zeros(2)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for head in (None, "plain"):
        with pytest.raises(CheckpointError, match=r"layers.9") as caught:
            load(tmp_path, head=head)
        assert "head='plain'" not in str(caught.value)


def test_the_vector_of_time_masks_may_be_missing_as_in_base_960h_or_left_over(old_folder):
    reference = theirs()
    weights = reference.state_dict()
    model = load(old_folder(weights, config=dataclasses.replace(TINY, mask_time_prob=0.0)))
    same(model, reference)
    assert "masked_spec_embed was left out" in str(model.loaded)
    del weights["wav2vec2.masked_spec_embed"]
    model = load(old_folder(weights))
    same(model, reference)
    assert "masked_spec_embed is not stored" in str(model.loaded)


def test_every_key_that_does_not_fit_is_listed_or_told_to_be_there_twice(old_folder):
    wrong = {
        "misshaped": ("lm_head.weight", "wav2vec2.encoder.layers.0.attention.k_proj.bias"),
        "missing": ("wav2vec2.encoder.layer_norm.bias", "wav2vec2.feature_projection.projection.weight"),
        "unexpected": ("something.else", "wav2vec2.encoder.layers.7.layer_norm.weight"),
    }
    for keys in ({}, *({kind: wrong[kind]} for kind in wrong), wrong):
        weights = theirs().state_dict()
        for key in (*keys.get("misshaped", ()), *keys.get("unexpected", ())):
            weights[key] = torch.zeros(3, 5)
        for key in keys.get("missing", ()):
            del weights[key]
        folder = old_folder(weights)
        if not keys:
            load(folder)
            continue
        with pytest.raises(CheckpointError) as caught:
            load(folder)
        assert {kind: getattr(caught.value, kind) for kind in wrong} == {**dict.fromkeys(wrong, ()), **keys}
        assert all(key in str(caught.value) for key in sum(keys.values(), ()))
        assert ("lm_head.weight is (3, 5), wanted (32, 48)" in str(caught.value)) == ("misshaped" in keys)
    weights = {**theirs().state_dict(), "wav2vec2.encoder.pos_conv_embed.conv.weight_g": torch.zeros(1, 1, 128)}
    with pytest.raises(CheckpointError, match="twice"):
        load(old_folder(weights))


SETTINGS = {"do_normalize": False, "return_attention_mask": True, "sampling_rate": 8000}  # none at its default


def pairs_of_settings_files():
    """Content of preprocessor_config.json and processor_config.json: each field absent in turn, both disagreeing."""
    other = {"do_normalize": True, "return_attention_mask": False, "sampling_rate": 16_000}
    for name in (None, *SETTINGS):
        fields = {key: value for key, value in SETTINGS.items() if key != name}
        for old, new in ((fields, None), (None, fields), (fields, other), (other, fields)):
            yield old, new and {"feature_extractor": new}
    yield SETTINGS, {"processor_class": "Wav2Vec2Processor", "do_normalize": True}  # as of 2023: nothing to read


def test_processor_settings_are_those_that_transformers_reads(tmp_path):
    for number, files in enumerate(pairs_of_settings_files()):
        (folder := tmp_path / str(number)).mkdir()
        for name, values in zip(("preprocessor_config.json", "processor_config.json"), files, strict=True):
            if values is not None:
                (folder / name).write_text(json.dumps(values))
        extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
        expected = Processing(extractor.sampling_rate, extractor.do_normalize, extractor.return_attention_mask)
        assert Processing.from_folder(folder) == expected, files


# -------------------------------------------------------------------------------------------------- refused, in words


class Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))


def test_code_in_a_bin_is_not_run(old_folder, tmp_path):
    folder = old_folder({})
    with open(tmp_path / "pytorch_model.bin", "wb") as file:
        pickle.dump({"weight": Evil()}, file, protocol=2)
    with pytest.raises(CheckpointError, match="not unpickled"):
        load(folder)
    torch.save({"weight": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not unpickled"):
        load(folder)
    assert not Evil.ran


def replace(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def of_type(model_type):
    return replace("config.json", json.dumps({"model_type": model_type}).encode())


def only(name):
    def leave(folder):
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"x")

    return leave


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def lose_a_shard(folder):
    theirs().save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    next(folder.glob("model-00003*")).unlink()


def quantise(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "lm_head.weight": weights["lm_head.weight"].to(torch.int8)}, folder / "model.safetensors")


def fairseq(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"args": None, "model": {}}, folder / "pytorch_model.bin")


def outside(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))


DAMAGES = [
    (of_type("whisper"), "Whisper"),
    (of_type("wav2vec2-bert"), "w2v-BERT"),
    (of_type("hubert"), "HuBERT"),
    (of_type("wavlm"), "WavLM"),
    (of_type("wav2vec2-conformer"), "Conformer"),
    (of_type("something-new"), "something-new"),
    (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    (replace("config.json", b"{"), "not JSON"),
    (replace("config.json", b"[]"), "holds a list"),
    (replace("preprocessor_config.json", b'{"feature_extractor_type": "Whisper"}'), r"another model .Whisper"),
    (replace("preprocessor_config.json", b'{"unsure_below": "0.6"}'), "mean confidence, 0 to 1, found '0.6'"),
    (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
    (replace("model.safetensors", b"no tensors"), "damaged"),
    (replace("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "git lfs pull"),
    (cut, "damaged"),
    (lose_a_shard, "model-00003"),
    (quantise, "quantised"),
    (only("tf_model.h5"), "TensorFlow"),
    (only("pytorch_model.bin"), "not unpickled|no torch file"),
    (fairseq, "fairseq"),
    (outside, "outside its folder"),
]


@pytest.mark.parametrize("damage, message", DAMAGES)
def test_damaged_folders_and_other_models(tmp_path, damage, message):
    damage(write(tmp_path, theirs()))
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        *(
            (name, r"no checkpoint.*hub id")
            for name in ("no-such-model", "no/such/folder", "../nowhere", "digits group")
        ),
        ("", "holds no config"),  # the empty path is the current folder
        ("config.json", "the folder that holds it"),
        ("https://huggingface.co/facebook/wav2vec2-base-960h", r"a URL.*load\('facebook/wav2vec2-base-960h'\)"),
        ("https://example.org/model", "a URL.*Download it"),
    ],
)
def test_no_such_checkpoint(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "config.json":
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=message):
        load(name)


def test_what_may_be_asked_of_a_folder(tmp_path):
    write(tmp_path, theirs())
    with pytest.raises(CheckpointError, match="one of plain, ctc"):
        load(tmp_path, head="CTC")
    (tmp_path / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(TOKENS)}))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "MyTokenizer"}')
    with pytest.raises(CheckpointError, match=r"MyTokenizer.*load\(…, head='plain'\)"):
        load(tmp_path)
    assert load(tmp_path, head="plain").vocabulary is None  # the advice


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = load(write(tmp_path / "model", theirs()))
    assert save(model, "~/again") == tmp_path / "again"
    same(load("~/again"), model)


# ----------------------------------------------------------------------------------------------- saved here, read there


def test_save_keeps_vocabulary_and_processing_and_refuses_what_is_not_ours(tmp_path):
    model = w2vlearn.model.Wav2Vec2ForCTC(LAYER)
    model.vocabulary = Vocabulary(TOKENS, lower=True)
    model.processing = Processing(16_000, True, True, unsure_below=0.6)
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.vocabulary == model.vocabulary and again.processing == model.processing
    for other, message in ((torch.nn.Linear(2, 2), "found a Linear"), (theirs(), "w2vlearn's own")):
        with pytest.raises(TypeError, match=message):
            save(other, tmp_path)
