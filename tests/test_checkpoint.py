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
def test_a_folder_by_transformers_gives_the_same_output(tmp_path, family, head):
    reference = theirs(FAMILIES[family], head)
    model = load(write(tmp_path, reference))
    assert type(model).__name__ == HEADS[head]
    same(model, reference)
    assert model.loaded.head == head and model.loaded.files == ("model.safetensors",)


def test_shards(tmp_path):
    reference = theirs()
    write(tmp_path, reference, max_shard_size="20KB")
    model = load(tmp_path)
    assert len(model.loaded.files) > 5
    same(model, reference)


@pytest.fixture
def old_folder(tmp_path):
    """Write a folder as of 2021: pytorch_model.bin, whole or in shards, keys as given."""

    def write_old(weights, shards=0, architectures=("Wav2Vec2ForCTC",), config=TINY):
        values = {**config.to_dict(), "architectures": architectures and list(architectures)}
        (tmp_path / "config.json").write_text(json.dumps(values))
        if not shards:
            torch.save(weights, tmp_path / "pytorch_model.bin")
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


def with_prefix(prefix):
    return lambda weights: {f"{prefix}{key}": value for key, value in weights.items()}


def without_prefix(weights):
    return {key.removeprefix("wav2vec2."): value for key, value in weights.items()}


OLD = {
    "names as before torch 2.1": ("ctc", old_names, {}),
    "in shards": ("ctc", old_names, {"shards": 3}),
    "the first name of the CTC class": ("ctc", dict, {"architectures": ("Wav2Vec2ForMaskedLM",)}),
    **{f"{head}, told by its keys": (head, dict, {"architectures": None}) for head in HEADS},
    "a plain model with a prefix": ("plain", with_prefix("wav2vec2."), {"architectures": ("Wav2Vec2Model",)}),
    "a CTC model without": ("ctc", without_prefix, {}),
    "saved from DataParallel": ("ctc", with_prefix("module."), {}),
}


@pytest.mark.parametrize("head, rename, options", OLD.values(), ids=OLD)
def test_folders_as_people_have_them(old_folder, head, rename, options):
    reference = theirs(head=head)
    model = load(old_folder(rename(reference.state_dict()), **options))
    assert type(model).__name__ == HEADS[head]
    same(model, reference)


def test_a_zip_less_bin_of_before_torch_1_6(old_folder, tmp_path):
    reference = theirs()
    folder = old_folder({})
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    same(load(folder), reference)


def test_two_names_for_one_tensor(tmp_path):
    reference = theirs()
    weights = {key: value.clone() for key, value in reference.state_dict().items()}
    kept, other = (f"wav2vec2.encoder.layers.{layer}.final_layer_norm.bias" for layer in (0, 1))
    reference.load_state_dict({**weights, other: weights[kept]})
    write(tmp_path, reference)
    del weights[other]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt", other: kept})  # as save_model ties
    same(load(tmp_path), reference)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_loaded_as_float32(tmp_path, dtype):
    reference = theirs().to(dtype)
    model = load(write(tmp_path, reference))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    as_stored = load(tmp_path, dtype=dtype)
    assert {weight.dtype for weight in as_stored.parameters()} == {dtype}
    assert all(torch.equal(as_stored.state_dict()[key], weight) for key, weight in reference.state_dict().items())
    same(model, reference.float())


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


def without_architectures(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "architectures": None}))


def under_another_name(folder):
    weights = load_file(folder / "model.safetensors")
    renamed = {key.replace("wav2vec2.", "net.backbone.", 1): weight for key, weight in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


STRANGE = ("Wav2Vec2ForXVector", "Wav2Vec2ForAudioFrameClassification", OwnHead)


@pytest.mark.parametrize("change", [lambda folder: None, without_architectures, under_another_name])
@pytest.mark.parametrize("head", [*(name for name in HEADS if name != "plain"), *STRANGE])
def test_of_any_head_the_encoder_loads_and_whoever_is_advised_to_do_so_can(tmp_path, head, change):
    reference = theirs(head=head) if isinstance(head, str) else OwnHead(theirs().config).eval()
    change(write(tmp_path, reference))
    if head in STRANGE:
        with pytest.raises(CheckpointError, match=r"load\(…, head='plain'\)"):
            load(tmp_path)
    else:
        same(load(tmp_path), reference)
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


def test_a_tokenizer_with_rules_of_its_own_is_refused_by_name_and_the_encoder_loads(tmp_path):
    write(tmp_path, theirs())
    (tmp_path / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(TOKENS)}))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "MyTokenizer"}')
    with pytest.raises(CheckpointError, match=r"MyTokenizer.*load\(…, head='plain'\)"):
        load(tmp_path)
    assert load(tmp_path, head="plain").vocabulary is None


def test_an_unknown_head(tmp_path):
    with pytest.raises(CheckpointError, match="one of plain, ctc"):
        load(write(tmp_path, theirs()), head="CTC")


def test_the_vector_of_time_masks_may_be_missing_as_in_base_960h(old_folder):
    reference = theirs()
    weights = reference.state_dict()
    del weights["wav2vec2.masked_spec_embed"]
    model = load(old_folder(weights))
    same(model, reference)
    assert "masked_spec_embed is not stored" in str(model.loaded)


def test_the_vector_of_time_masks_may_be_left_over(old_folder):
    reference = theirs()
    folder = old_folder(reference.state_dict(), config=dataclasses.replace(TINY, mask_time_prob=0.0))
    model = load(folder)
    same(model, reference)
    assert "masked_spec_embed was left out" in str(model.loaded)


@pytest.mark.parametrize(
    "kinds", [("misshaped",), ("missing",), ("unexpected",), ("misshaped", "missing", "unexpected")]
)
def test_every_key_that_does_not_fit_is_listed(old_folder, kinds):
    keys = {
        "misshaped": ("lm_head.weight", "wav2vec2.encoder.layers.0.attention.k_proj.bias"),
        "missing": ("wav2vec2.encoder.layer_norm.bias", "wav2vec2.feature_projection.projection.weight"),
        "unexpected": ("something.else", "wav2vec2.encoder.layers.7.layer_norm.weight"),
    }
    keys = {kind: names if kind in kinds else () for kind, names in keys.items()}
    weights = theirs().state_dict()
    for key in keys["misshaped"] + keys["unexpected"]:
        weights[key] = torch.zeros(3, 5)
    for key in keys["missing"]:
        del weights[key]
    with pytest.raises(CheckpointError) as caught:
        load(old_folder(weights))
    assert {kind: getattr(caught.value, kind) for kind in keys} == keys
    assert all(key in str(caught.value) for key in sum(keys.values(), ()))
    assert ("lm_head.weight is (3, 5), wanted (32, 48)" in str(caught.value)) == ("misshaped" in kinds)


SETTINGS = {"do_normalize": False, "return_attention_mask": True, "sampling_rate": 8000}  # none at its default


def pairs_of_settings_files():
    """Content of preprocessor_config.json and processor_config.json: each field absent in turn, both disagreeing."""
    other = {"do_normalize": True, "return_attention_mask": False, "sampling_rate": 16_000}
    for name in (None, *SETTINGS):
        fields = {key: value for key, value in SETTINGS.items() if key != name}
        for old, new in ((fields, None), (None, fields), (fields, other), (other, fields)):
            yield old, new and {"feature_extractor": new}
    yield SETTINGS, {"processor_class": "Wav2Vec2Processor", "do_normalize": True}  # as of 2023: nothing to read


@pytest.mark.parametrize("old, new", list(pairs_of_settings_files()))
def test_processor_settings_are_those_that_transformers_reads(tmp_path, old, new):
    for name, values in (("preprocessor_config.json", old), ("processor_config.json", new)):
        if values is not None:
            (tmp_path / name).write_text(json.dumps(values))
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    ours = Processing.from_folder(tmp_path)
    assert ours == Processing(extractor.sampling_rate, extractor.do_normalize, extractor.return_attention_mask)


@pytest.mark.parametrize("whole", [False, True], ids=["preprocessor_config", "processor_config"])
def test_processor_settings_as_transformers_writes_them_then_and_now(tmp_path, whole):
    write(tmp_path, theirs())
    extractor = transformers.Wav2Vec2FeatureExtractor(**SETTINGS)
    (tmp_path / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(TOKENS)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    (transformers.Wav2Vec2Processor(extractor, tokenizer) if whole else extractor).save_pretrained(tmp_path)
    assert (tmp_path / "processor_config.json").exists() == whole
    model = load(tmp_path)
    assert model.processing == Processing(8000, False, True)
    assert dataclasses.replace(model.vocabulary, whole=frozenset()) == Vocabulary(TOKENS)


def test_settings_of_another_kind_of_input_are_refused(tmp_path):
    write(tmp_path, theirs())
    (tmp_path / "preprocessor_config.json").write_text('{"feature_extractor_type": "WhisperFeatureExtractor"}')
    with pytest.raises(CheckpointError, match=r"another model .WhisperFeatureExtractor"):
        load(tmp_path)


def test_one_weight_under_two_names(old_folder):
    weights = theirs().state_dict()
    weights["wav2vec2.encoder.pos_conv_embed.conv.weight_g"] = torch.zeros(1, 1, 128)
    with pytest.raises(CheckpointError, match="twice"):
        load(old_folder(weights))


# -------------------------------------------------------------------------------------------------- refused, in words


@pytest.mark.parametrize(
    "model_type, name",
    [
        ("whisper", "Whisper"),
        ("wav2vec2-bert", "w2v-BERT"),
        ("hubert", "HuBERT"),
        ("wavlm", "WavLM"),
        ("wav2vec2-conformer", "Conformer"),
        ("something-new", "something-new"),
    ],
)
def test_another_architecture_is_refused_by_name(tmp_path, model_type, name):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(CheckpointError, match=name):
        load(tmp_path)


def test_folders_of_real_other_models_are_refused_by_name(tmp_path):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.HubertConfig(**small, conv_dim=(8,) * 7, num_conv_pos_embedding_groups=2)
    transformers.HubertModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="HuBERT"):
        load(tmp_path)


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


def only(name):
    def leave(folder):
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"x")

    return leave


def fairseq(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"args": None, "model": {}}, folder / "pytorch_model.bin")


def outside(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (replace("config.json", b"{"), "not JSON"),
        (replace("config.json", b"[]"), "holds a list"),
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
    ],
)
def test_damaged_folders(tmp_path, damage, words):
    damage(write(tmp_path, theirs()))
    with pytest.raises(CheckpointError, match=words):
        load(tmp_path)


@pytest.mark.parametrize("name", ["no-such-model", "no/such/folder", "../nowhere", "", "digits group"])
def test_no_such_checkpoint(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "":  # the empty path is the current folder, which holds no config.json
        with pytest.raises(CheckpointError, match="holds no config"):
            load(name)
        return
    with pytest.raises(CheckpointError, match=r"no checkpoint.*hub id"):
        load(name)


@pytest.mark.parametrize(
    "url, words",
    [
        ("https://huggingface.co/facebook/wav2vec2-base-960h", r"a URL.*load\('facebook/wav2vec2-base-960h'\)"),
        ("https://example.org/model", "a URL.*Download it"),
    ],
)
def test_a_url_is_told_from_a_folder_and_a_hub_id(url, words):
    with pytest.raises(CheckpointError, match=words):
        load(url)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = load(write(tmp_path / "model", theirs()))
    assert save(model, "~/again") == tmp_path / "again"
    same(load("~/again"), model)


def test_a_file_instead_of_its_folder(tmp_path):
    write(tmp_path, theirs())
    with pytest.raises(CheckpointError, match="the folder that holds it"):
        load(tmp_path / "model.safetensors")


# ----------------------------------------------------------------------------------------------- saved here, read there


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_ours_saved_loads_in_transformers_with_every_key(tmp_path, family, head):
    torch.manual_seed(3)
    ours = getattr(w2vlearn.model, HEADS[head])(FAMILIES[family]).eval()
    save(ours, tmp_path)
    reference, info = getattr(transformers, HEADS[head]).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    same(ours, reference.eval())
    again = load(tmp_path)
    assert again.config == ours.config
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), ours.state_dict().values(), strict=True))


def test_vocabulary_and_processing_travel_to_transformers_and_back(tmp_path):
    model = w2vlearn.model.Wav2Vec2ForCTC(LAYER)
    model.vocabulary = Vocabulary(TOKENS, lower=True)
    model.processing = Processing(16_000, True, True)
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.vocabulary == model.vocabulary and again.processing == model.processing
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    assert tokenizer.decode([11, 5, 0, 15, 15, 0, 15, 8]) == "hello"
    assert len(tokenizer) == 32
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    assert (extractor.do_normalize, extractor.return_attention_mask) == (True, True)


def test_weights_saved_as_half_are_loaded_as_float32_by_everybody(tmp_path):
    model = load(write(tmp_path / "theirs", theirs()))
    save(model, tmp_path / "ours", dtype=torch.float16)
    stored = load_file(tmp_path / "ours" / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    again = load(tmp_path / "ours")
    assert all(torch.equal(weight, stored[key].float()) for key, weight in again.state_dict().items())
    same(again, transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path / "ours").eval())
    same(model, again, tolerance=0.05)


def test_saving_over_what_is_loaded(tmp_path):
    reference = theirs()
    model = load(write(tmp_path, reference))
    save(model, tmp_path)
    same(load(tmp_path), reference)


def test_save_refuses_what_is_not_ours(tmp_path):
    with pytest.raises(TypeError, match="found a Linear"):
        save(torch.nn.Linear(2, 2), tmp_path)
    with pytest.raises(TypeError, match="w2vlearn's own"):
        save(theirs(), tmp_path)
