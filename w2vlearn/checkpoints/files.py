"""Where a checkpoint's files are (a folder, the hub's cache, the hub) and what they hold: tensors only, never code."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.paths import local_path

__all__ = ["CheckpointError", "built_in", "find_folder", "read_config", "read_json", "read_weights", "weight_files"]

_BUILT_IN = Path(__file__).parents[1] / "data"
_WEIGHTS = _SAFETENSORS, _BIN = "model.safetensors", "pytorch_model.bin"  # in order of preference


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded; the message says what is wrong with it and what to do."""


def built_in() -> dict[str, Path]:
    """The models that come with the package: name such as ``"digits-group"`` -> folder."""
    folders = (path.parent for path in sorted(_BUILT_IN.glob("*/config.json")))
    return {folder.name.replace("_", "-"): folder for folder in folders}


def find_folder(name: str | Path) -> Path:
    """The folder that holds checkpoint ``name``: a folder, a built-in name, or a hub id, which is downloaded first."""
    hub_page = re.match(r"https?://huggingface\.co/([\w.-]+/[\w.-]+)", str(name))
    if hub_page:
        raise CheckpointError(f"{name} is a URL; load takes the hub id: load({hub_page[1]!r})")
    try:
        folder = local_path(name, "load")
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file; load wants the folder that holds it, with config.json beside the weights: "
            f"load({str(folder.parent)!r})"
        )
    models = built_in()
    if str(name) in models:
        return models[str(name)]
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name):
        return _fetch(name)
    raise CheckpointError(
        f"no checkpoint {str(name)!r}: there is no such folder (looked in {Path.cwd()}), no built-in model "
        f"of that name (built in: {', '.join(models)}), and it is no hub id (facebook/wav2vec2-base-960h)"
    )


def read_json(path: Path) -> dict:
    """A JSON object from a file, or an error that names the file."""
    _refuse_pointer(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text
        raise CheckpointError(f"{path} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}, expected a JSON object")
    return values


def read_config(folder: Path) -> tuple[Wav2Vec2Config, dict]:
    """The config of a checkpoint, and all that its ``config.json`` holds; other architectures are refused by name."""
    if not (folder / "config.json").is_file():
        names = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise CheckpointError(f"{folder} holds no config.json, found {names}; wanted a Hugging Face model folder")
    values = read_json(folder / "config.json")
    try:
        return Wav2Vec2Config.from_dict(values), values
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def weight_files(folder: Path) -> list[Path]:
    """The files of ``folder`` that hold its weights: one, or the shards that an index lists."""
    names = sorted(path.name for path in folder.iterdir())
    for weights in _WEIGHTS:
        if (folder / weights).is_file():
            return [folder / weights]
        index = folder / f"{weights}.index.json"
        if index.is_file():
            shards = _shards(index)
            # or outside the folder, where nobody looks
            absent = [shard for shard in shards if shard not in names or not (folder / shard).is_file()]
            if absent:
                raise CheckpointError(
                    f"{index} lists {len(shards)} files, these are not beside it: {', '.join(absent)}. "
                    f"Download them into {folder}"
                )
            return [folder / shard for shard in shards]
    raise CheckpointError(
        f"{folder} holds no weights: wanted {_SAFETENSORS} or {_BIN} (or their .index.json with shards), "
        f"found {', '.join(names)}. Weights of TensorFlow, Flax or ONNX are not read here: save the model from PyTorch"
    )


def read_weights(files: list[Path], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """All tensors of all files, on the CPU, as ``dtype``. Nothing but tensors is ever unpickled."""
    weights: dict[str, Tensor] = {}
    for path in files:
        for key, tensor in _tensors(path).items():
            if key in weights:
                raise CheckpointError(f"{path} repeats {key} of an earlier shard; download the shards again")
            if not tensor.is_floating_point():
                raise CheckpointError(
                    f"{path}: {key} is stored as {tensor.dtype}; wanted floating point "
                    "(quantised checkpoints are not read)"
                )
            # A copy: the tensor must not stay tied to the file, which may be overwritten while the model lives.
            weights[key] = tensor.to(dtype, copy=True)
    return weights


def _shards(index: Path) -> list[str]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError(f'{index} has no "weight_map"; wanted {{"weight_map": {{key: file, …}}}}')
    return sorted(set(table.values()))


def _refuse_pointer(path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):  # what a git clone without LFS leaves
            raise CheckpointError(f"{path} is a Git LFS pointer; run `git lfs pull`, or download the file itself")


def _tensors(path: Path) -> dict[str, Tensor]:
    """What a file of weights holds."""
    _refuse_pointer(path)
    try:
        if path.suffix == ".safetensors":
            return _safe_tensors(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, or is no torch file; it was not unpickled, because that can run code. "
            "Ask for safetensors instead, or convert it where you trust it"
        ) from error
    except Exception as error:  # safetensors and torch have many ways to say so
        kind = "safetensors" if path.suffix == ".safetensors" else "torch"
        raise CheckpointError(f"{path} is no {kind} file, or damaged ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, wanted a dictionary of tensors")
    if "model" in content and ("args" in content or "cfg" in content):
        raise CheckpointError(f"{path} is a fairseq checkpoint; convert it to Hugging Face's format first")
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(
            f"{path} holds entries that are no tensors: {', '.join(others[:8])}; wanted the plain state dict"
        )
    return content


def _safe_tensors(path: Path) -> dict[str, Tensor]:
    import safetensors

    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        tied = file.metadata() or {}
    # Of two names for one tensor safetensors stores one, and notes the other in the metadata: {"other": "stored"}.
    return tensors | {key: tensors[kept] for key, kept in tied.items() if kept in tensors and key not in tensors}


def _fetch(name: str) -> Path:
    """Download what `load` reads of a hub checkpoint, or find it in the cache; only one format of the weights."""
    folder = _snapshot(name, ["*.json"])
    if not (folder / "config.json").is_file():
        raise _unreachable(name, "it has no config.json")
    read_config(folder)  # before gigabytes come that nobody can use
    for weights in _WEIGHTS:
        index = folder / f"{weights}.index.json"
        files = _shards(index) if index.is_file() else [weights]
        folder = _snapshot(name, ["*.json", *files])
        if any((folder / file).is_file() for file in files):
            return folder
    raise _unreachable(name, "there are no weights: none of " + ", ".join(_WEIGHTS))


def _snapshot(name: str, files: list[str]) -> Path:
    """Those of the files that the hub has, in the cache: downloaded with progress bars where they are not there yet."""
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=files, ignore_patterns="*/*"))
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{name} is gated: accept its terms on its page at huggingface.co and log in (`hf auth login`)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"the hub has no model {name!r} that you may read; check the spelling (owner/name). "
            "Private ones need `hf auth login`"
        ) from error
    except Exception as error:  # no network, a connection that broke, a full disk; the library that carries it differs
        raise _unreachable(name, f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def _unreachable(name: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is not in the cache and could not be downloaded ({reason}). With a network, once: "
        f"load({name!r}). Without one: on another computer open https://huggingface.co/{name}/tree/main, "
        f"download config.json, {_SAFETENSORS} (or {_BIN}), vocab.json and preprocessor_config.json into one folder, "
        'bring the folder here and load("that/folder"). '
        f"Built in, and needing no network: {', '.join(built_in())}"
    )
