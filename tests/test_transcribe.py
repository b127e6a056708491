"""transcribe: files, waveforms, batches, long recordings; and what bad input is told."""

from __future__ import annotations

import dataclasses
import json
import math
import xml.dom.minidom

import numpy as np
import pytest
import soundfile
import torch
import transformers
from page_reader import check_svg

from w2vlearn import Wav2Vec2Config, pad, read_audio, transcribe
from w2vlearn.audio import AudioStream, example, example_clips
from w2vlearn.batch import Batch
from w2vlearn.checkpoints import Processing, Vocabulary, load, save
from w2vlearn.cli import main
from w2vlearn.model import Wav2Vec2ForCTC
from w2vlearn.transcription import chunks

GROUP = Wav2Vec2Config.tiny()
LAYER = dataclasses.replace(GROUP, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")


def talker(config=LAYER, seed=0):
    """A random model that talks: every kind of token wins some frames."""
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
        model.lm_head.bias[[0, 4]] += 2
    model.vocabulary = Vocabulary(TOKENS)
    return model


@pytest.fixture(scope="module")
def model():
    return talker()


def long_clip(seconds):
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(seconds * 16_000)) / 16_000
    return 0.1 * torch.randn(len(time), generator=generator) * (1.2 + torch.sin(2.3 * time))


def same(one, other):
    assert one.text == other.text and one.tokens == other.tokens
    assert one.samples == other.samples
    assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert torch.allclose(one.envelope, other.envelope)


# ------------------------------------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("config, normalize", [(GROUP, True), (LAYER, False)], ids=["group", "layer"])
def test_the_text_is_what_transformers_pipeline_of_extractor_model_and_tokenizer_writes(tmp_path, config, normalize):
    ours = talker(config)
    ours.processing = Processing(16_000, normalize, True)
    save(ours, tmp_path)
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    for name, path in example_clips().items():
        values = extractor(example(name).numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        with torch.no_grad():
            expected = tokenizer.decode(theirs(values).logits[0].argmax(-1))
        assert transcribe(ours, path).text == expected
        assert len(expected) > 10


def test_a_path_a_waveform_an_array_and_a_folder_name_say_the_same(model, tmp_path):
    path = example_clips()["yes"]
    transcript = transcribe(model, path)
    save(model, tmp_path)
    for net, clip in ((model, str(path)), (model, example("yes")), (model, example("yes").numpy()), (tmp_path, path)):
        same(transcript, transcribe(net, clip))


def test_what_a_transcript_holds(model):
    clip = example("digits") + 0.1  # a microphone's constant offset, which normalising takes away
    transcript = transcribe(model, clip)
    assert (transcript.samples, transcript.frames) == (33_628, 104)
    assert transcript.duration_s == 33_628 / 16_000
    assert "".join(piece.text for piece in transcript.characters).strip() == transcript.text
    assert [word.text for word in transcript.words] == transcript.text.split()
    for piece in (*transcript.words, *transcript.characters):
        text, start_s, end_s = piece
        assert text == piece.text and start_s == piece.frames.start * 320 / 16_000
        assert end_s == ((piece.frames.stop - 1) * 320 + 400) / 16_000
        assert 0 <= start_s < end_s <= transcript.duration_s
        assert all(transcript.tokens[frame] for frame in (piece.frames.start, piece.frames.stop - 1))
    for frame in (0, 50, 103):
        quarter = clip[frame * 320 : frame * 320 + 80]
        assert transcript.envelope[frame, 0].tolist() == [quarter.min(), quarter.max()]
    with torch.no_grad():  # layer norm without stored settings: normalised
        probabilities = model(pad([clip], normalize=True).waveforms).logits[0].softmax(-1)
    assert transcript.confidence == pytest.approx(probabilities.amax(-1).tolist(), abs=1e-5)


# ----------------------------------------------------------------------------------------------------- batches

NAMES = ("yes", "hello", "longest")


@pytest.mark.parametrize("config, normalize, mask", [(LAYER, False, True), (LAYER, True, True), (LAYER, True, False),
                                                     (GROUP, True, True), (GROUP, False, False)])  # fmt: skip
def test_a_batch_equals_each_clip_alone_for_layer_norm_with_a_mask_only(config, normalize, mask):
    """The mask is the checkpoint's choice unless told; padding beyond the longest clip counts as padding too."""
    net, masks = talker(config), []
    net.processing = Processing(16_000, normalize, mask)
    net.wav2vec2.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    batch = pad([example(name) for name in NAMES])
    longer = Batch(torch.nn.functional.pad(batch.waveforms, (0, 5000)), batch.lengths)
    chosen = transcribe(net, batch)
    assert (masks[-1] is not None) == mask
    net.processing = Processing(16_000, normalize, not mask)
    rows = [chosen, transcribe(net, batch, mask=mask), transcribe(net, longer, mask=mask)]
    assert all((kept is not None) == mask for kept in masks)
    one_by_one = transcribe(net, [example(NAMES[0]), *(example_clips()[name] for name in NAMES[1:])])
    for place, name in enumerate(NAMES):
        alone = transcribe(net, example(name))
        same(one_by_one[place], alone)  # a list is no batch
        for row, transcripts in enumerate(rows):
            assert transcripts[place].frames == alone.frames  # trimmed to its own frames in any case
            if (mask and config is LAYER) or (name == "longest" and row < 2):  # nothing was added to the longest
                same(transcripts[place], alone)
            else:
                assert transcripts[place].confidence != pytest.approx(alone.confidence, abs=1e-3)


# ------------------------------------------------------------------------------------------------------ long audio


def test_a_long_recording_goes_in_chunks_and_says_so(model):
    clip = long_clip(41)
    transcript = transcribe(model, clip)
    whole = transcribe(model, clip, chunk_s=math.inf)
    assert transcript.frames == whole.frames == 2049
    assert "3 chunks of 20 s with 2 s of context" in transcript.notes[0]
    assert not any("chunks" in note for note in whole.notes)
    equal = sum(one == other for one, other in zip(transcript.tokens, whole.tokens, strict=True))
    assert equal > 0.97 * 2049
    assert torch.equal(transcript.envelope, whole.envelope)
    note = transcribe(talker(GROUP), clip).notes[0]
    assert "every frame differs a little" in note


@pytest.mark.parametrize(
    "rate, channels, seconds, normalize",
    [(44_100, 2, 12.0, True), (22_050, 1, 29.9, False), (8000, 2, 33.3, True), (44_100, 1, 33.3, False)],
)
def test_a_file_says_what_its_waveform_says(tmp_path, monkeypatch, rate, channels, seconds, normalize):
    net, path, decoded = talker(), tmp_path / "clip.wav", []
    net.processing = Processing(16_000, normalize, True)
    samples = 0.2 * np.random.default_rng(0).standard_normal(round(seconds * rate)).astype("float32")
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype="FLOAT")
    expected, read = transcribe(net, read_audio(path)), AudioStream.__iter__
    monkeypatch.setattr(AudioStream, "__iter__", lambda self: decoded.append(self.path) or read(self))
    transcript = transcribe(net, path)
    same(transcript, expected)
    assert transcript.duration_s == pytest.approx(seconds, abs=1e-4)
    assert any("chunks" in note for note in transcript.notes) == (seconds > 30)
    assert len(decoded) == (2 if seconds > 30 else 1)  # a long one is never held, and its statistics come first


def test_of_a_file_that_was_cut_counts_what_was_read_and_a_note_says_so(tmp_path, model):
    for seconds in (3, 35):
        noise = 0.1 * np.random.default_rng(0).standard_normal(seconds * 16_000).astype("float32")
        soundfile.write(tmp_path / "whole.wav", noise, 16_000)
        data = (tmp_path / "whole.wav").read_bytes()
        (tmp_path / "cut.wav").write_bytes(data[: 44 + (len(data) - 44) * 4 // 5])
        transcript = transcribe(model, tmp_path / "cut.wav")
        assert transcript.duration_s == seconds * 4 / 5
        assert f"{seconds * 4 / 5:.2f} s were read: it was probably cut" in transcript.notes[0]


def test_an_hour_from_a_file_in_bounded_memory(tmp_path, model, monkeypatch):
    """Ten minutes stand for the hour: what is held at a time must not grow with the file."""
    longest = 0

    def watched(net, waveform):
        nonlocal longest
        longest = max(longest, waveform.untyped_storage().nbytes() // 4)
        return torch.zeros((len(waveform) - 400) // 320 + 1, 32)

    monkeypatch.setattr(chunks, "frame_outputs", watched)
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(60):
            file.write(np.zeros(160_000, "float32"))
    transcript = transcribe(model, path)
    assert transcript.frames == (600 * 16_000 - 400) // 320 + 1
    assert "30 chunks" in transcript.notes[0]
    assert longest < 40 * 16_000  # a chunk with context is 24 s, a block 10 s


# ------------------------------------------------------------------------------------------------------- bad input


def test_silence_and_an_unsure_model_are_told():
    net = talker()
    with torch.no_grad():
        net.lm_head.weight.mul_(1 / 40)
        net.lm_head.bias.zero_()
    for unsure_below, told in ((None, True), (0.01, False), (0.0, False)):  # None: not stored, then 0.7
        net.processing = Processing(unsure_below=unsure_below)
        for transcript in (transcribe(net, long_clip(1)), transcribe(net, pad([long_clip(1)]))[0]):
            assert 0.01 < transcript.mean_confidence < 0.7
            assert any("unsure" in note for note in transcript.notes) is told
    net.processing = Processing(unsure_below=transcript.mean_confidence + 0.01)
    assert any("unsure" in note for note in transcribe(net, long_clip(1)).notes)
    with torch.no_grad():
        net.lm_head.weight.zero_()
        net.lm_head.bias[0] = 2  # the blank wins everywhere
    transcript = transcribe(net, torch.zeros(16_000))
    assert transcript.text == "" and not transcript.words
    assert "the clip is silent: its loudest sample is 0.00000 of 1" in transcript.notes
    assert "no words: in all 49 frames the best token is the blank or a separator" in transcript.notes
    assert str(transcript).startswith("(no words)")
    assert "no words" in transcript.figure().text.lower()
    assert math.isnan(transcript.mean_confidence)
    assert all(math.isfinite(value) for value in transcript.confidence)  # although silence was normalised


@pytest.mark.parametrize(
    "clip, error, message",
    [
        (torch.zeros(399), ValueError, "one frame needs 400"),
        (torch.zeros(2, 16_000), ValueError, "mono"),
        ("short.wav", ValueError, "399 samples, a frame needs 400"),
        ("nowhere.wav", ValueError, "no such file"),
        (3, (TypeError, ValueError), "clip 0"),
    ],
)
def test_clips_that_are_none(model, clip, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("short.wav", np.zeros(399), 16_000)
    with pytest.raises(error, match=message):
        transcribe(model, clip)


@pytest.mark.parametrize(
    "change, arguments, error, message",
    [
        (lambda net: net.wav2vec2.eval(), {}, TypeError, "Wav2Vec2Model has no CTC head"),
        (lambda net: setattr(net, "vocabulary", None), {}, ValueError, "no vocabulary"),
        (lambda net: setattr(net, "vocabulary", Vocabulary(TOKENS[:-1])), {}, ValueError, "31 tokens, V = 32"),
        (lambda net: net.train(), {}, ValueError, "train mode"),
        (lambda net: "nonsense", {}, ValueError, "no checkpoint 'nonsense'"),
        (lambda net: net, {"mask": True}, ValueError, "only a Batch is padded"),
    ],
)
def test_models_that_cannot_write(change, arguments, error, message):
    net = talker()
    net = change(net) or net
    with pytest.raises(error, match=message):
        transcribe(net, example("yes"), **arguments)


# ------------------------------------------------------------------------------------------------- text and picture


def test_the_printed_transcript_the_picture_and_its_text(model):
    transcript = transcribe(model, long_clip(12))
    lines = str(transcript).splitlines()
    assert lines[0] == transcript.text and "12.00 s, 192000 samples, T = 599 frames" in lines
    for word in transcript.words[:10]:
        assert any(line.startswith(word.text) and f"{word.start_s:.3f}" in line for line in lines)
    picture = transcript.figure()
    check_svg(picture.html)
    for part in ("T = 599 frames", "dots: read by no frame", ">0.0 s<", ">5.5 s<", ">11.5 s<"):
        assert part in picture.html
    assert "599 frames" in picture.alt and transcript.words[0].text in picture.alt
    assert picture.text.count("\n") >= sum(piece.text != " " for piece in transcript.characters)
    drawn = transcript.figure(2.0, 3.0).html
    within = [piece for piece in transcript.characters if 2.0 <= (piece.frames.start + piece.frames.stop) / 100 < 3.0]
    characters = [f">{'␣' if piece.text == ' ' else piece.text}</text>" for piece in within]
    assert characters and all(drawn.count(character) >= characters.count(character) for character in characters)
    with pytest.raises(ValueError, match=r"clip's length\), found 5.0 to 4.0"):
        transcript.figure(5.0, 4.0)


def test_the_picture_escapes_what_was_heard_and_shows_the_first_20_s():
    net = talker()
    net.vocabulary = Vocabulary(("<pad>", "<s>", "</s>", "<unk>", "|", *"IHSRDLUMWCFGYPBVKXJQ", *"<&>\"'ZT"))
    transcript = transcribe(net, long_clip(60))
    assert transcript.frames == 2999 and any(sign in transcript.text for sign in "<&>")
    html = transcript._repr_html_()
    svg = html[html.index("<svg") :]
    xml.dom.minidom.parseString(svg)
    assert "<s>" not in html and "<unk>" not in html
    assert ">19.5 s<" in svg and ">20.5 s<" not in svg


# ------------------------------------------------------------------------------------- the models in the package

TRAINED = ("digits-group", "digits-layer")


@pytest.mark.parametrize("name", TRAINED)
def test_the_small_models_load_and_hear_digits_but_in_no_other_sound(name):
    net = load(name)
    assert net.vocabulary is not None and net.loaded.name == name
    assert net.config.feat_extract_norm == name.removeprefix("digits-")
    path = example_clips()["digits"]  # "three one four one five"
    transcript = transcribe(name, path)
    assert "FIVE" in transcript.text and transcript.text.startswith("THRE")
    five = transcript.characters[-4:]
    assert "".join(piece.text for piece in five) == "FIVE"
    assert 1.1 < five[0].start_s < five[-1].end_s < 1.6  # where it is said
    assert not transcript.notes
    same(transcribe(net, [path])[0], transcript)
    time = torch.arange(32_000) / 16_000
    for sound in (
        torch.zeros(32_000),
        0.05 * torch.randn(32_000, generator=torch.Generator().manual_seed(0)),
        0.3 * torch.sin(2 * torch.pi * 440 * time),
        sum(0.1 * torch.sin(2 * torch.pi * hertz * time) for hertz in (262, 330, 392)),
    ):
        transcript = transcribe(net, sound)
        assert transcript.text == "" and any("no words" in note for note in transcript.notes)
        assert any("silent" in note for note in transcript.notes) == (not sound.any())


# --------------------------------------------------------------------------------------------------- command line


def test_the_command_line_writes_down_what_is_said(capsys, model, tmp_path):
    path, other = str(example_clips()["digits"]), str(example_clips()["yes"])
    assert main(["--transcribe", path]) == 0
    assert capsys.readouterr().out.rstrip("\n") == str(transcribe("digits-group", path))
    save(model, tmp_path)
    written = {file: transcribe(model, file) for file in (path, other)}
    assert main(["--transcribe", path, other, "--model", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "\n\n".join(f"{file}\n{written[file]}" for file in written) + "\n"
    assert main(["--transcribe", "--json", path, other, "--model", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == [{"file": file, **transcript.to_dict()} for file, transcript in written.items()]
    times = [(word["text"], word["start_s"], word["end_s"]) for word in rows[0]["words"]]
    assert rows[0]["text"] == written[path].text and times == [tuple(word) for word in written[path].words]
