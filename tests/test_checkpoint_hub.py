"""Hub ids, against a small server that answers as the hub does: download, then the cache, then no network at all."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import threading

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import enable_progress_bars

import w2vlearn.model
from w2vlearn import Wav2Vec2Config
from w2vlearn.checkpoints import CheckpointError, Vocabulary, load, save

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


class Hub(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of files and of the two questions that snapshot_download asks: which commit, which files."""

    files: dict[str, bytes]
    asked: list[tuple[str, str]]
    gated = False
    breaks_at = None

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.split("?")[0].lstrip("/")
        type(self).asked.append((self.command, path.rsplit("/", 1)[-1]))
        if type(self).gated:
            return self.refuse(403, "GatedRepo")
        if "someone/small" not in path:
            return self.refuse(404, "RepoNotFound")
        name = path.rpartition("/")[2]
        if path.startswith("api/") and "/tree/" in path:
            rows = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in self.files.items()]
            content = json.dumps(rows).encode()
        elif path.startswith("api/"):
            content = json.dumps({"id": "someone/small", "sha": COMMIT}).encode()
        elif name not in self.files:
            return self.refuse(404, "EntryNotFound")
        else:
            content = self.files[name]
        if name == self.breaks_at and body:
            self.send_response(500)
            return self.end_headers()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def model():
    model = w2vlearn.model.Wav2Vec2ForCTC(dataclasses.replace(Wav2Vec2Config.tiny(), vocab_size=4)).eval()
    model.vocabulary = Vocabulary(("<pad>", "|", "a", "b"))
    return model


@pytest.fixture
def hub(model, monkeypatch, tmp_path):
    """The server's class; its ``files``, those of ``model``, are what "someone/small" holds. The cache is empty."""
    files = {file.name: file.read_bytes() for file in save(model, tmp_path / "saved").iterdir()}
    handler = type("Handler", (Hub,), {"files": files, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_at(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    yield handler
    server.shutdown()
    server.server_close()


def point_at(monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def loads(model):
    """What "someone/small" loads, which is ``model``."""
    loaded = load("someone/small")
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), atol=0, rtol=0)
    assert loaded.vocabulary == model.vocabulary
    return loaded


def refused(name, message):
    with pytest.raises(CheckpointError, match=message):
        load(name)


def test_a_hub_id_is_downloaded_once_and_then_needs_no_network(hub, model, monkeypatch, capfd):
    enable_progress_bars()
    monkeypatch.setenv("TQDM_POSITION", "-1")  # show progress bars although this is no terminal
    not_needed = {"pytorch_model.bin": b"gigabytes", "model.fp16.safetensors": b"gigabytes", "README.md": b"#"}
    hub.files |= not_needed
    loads(model)
    assert ("GET", "model.safetensors") in hub.asked
    assert "ownload" in capfd.readouterr().err  # the progress bar
    assert not not_needed.keys() & {name for _, name in hub.asked}  # one format is enough

    hub.asked.clear()
    loads(model)
    assert not any(verb == "GET" and name in hub.files for verb, name in hub.asked), hub.asked

    hub.asked.clear()
    point_at(monkeypatch, NOWHERE)
    loads(model)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    loads(model)
    assert not hub.asked


def test_an_old_bin_in_shards_from_the_hub(hub, model, tmp_path):
    del hub.files["model.safetensors"]
    weights = model.state_dict()
    table = {key: f"part{number % 2}.bin" for number, key in enumerate(weights)}
    for name in set(table.values()):
        torch.save({key: weights[key] for key in weights if table[key] == name}, tmp_path / "shard")
        hub.files[name] = (tmp_path / "shard").read_bytes()
    hub.files["pytorch_model.bin.index.json"] = json.dumps({"weight_map": table}).encode()
    assert len(loads(model).loaded.files) == 2


def test_another_architecture_is_refused_before_its_weights_are_fetched(hub):
    hub.files["config.json"] = b'{"model_type": "whisper"}'
    refused("someone/small", "whisper")
    assert not any(name == "model.safetensors" for _, name in hub.asked)


def test_without_a_network_it_says_what_to_download_and_where_to_put_it(hub, monkeypatch):
    point_at(monkeypatch, NOWHERE)
    page = "https://huggingface.co/facebook/wav2vec2-base-960h/tree/main"
    refused("facebook/wav2vec2-base-960h", rf'{page}, download config.json, model.safetensors .*load\("that/folder"\)')


def test_the_network_goes_away_half_way(hub, model):
    hub.breaks_at = "vocab.json"  # not needed for the weights, but a model without it could not write
    refused("someone/small", "vocab")
    hub.breaks_at = "model.safetensors"
    refused("someone/small", r"could not be downloaded .*500.*model.safetensors")
    hub.breaks_at = None
    loads(model)


def test_a_folder_of_that_name_comes_first_and_a_checkpoint_may_hold_no_weights(hub, model, tmp_path):
    del hub.files["model.safetensors"]
    refused("someone/small", r"none of model.safetensors, pytorch_model.bin")
    hub.asked.clear()
    save(model, tmp_path / "someone" / "small")
    loads(model)
    assert not hub.asked


def test_no_such_model_an_empty_and_a_gated_one(hub):
    refused("someone/else", "the hub has no model 'someone/else'")
    hub.files.clear()
    refused("someone/small", "it has no config.json")
    hub.asked.clear()
    hub.gated = True
    refused("someone/small", "accept its terms")
    assert len(hub.asked) < 6
