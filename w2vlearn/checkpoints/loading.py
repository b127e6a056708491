"""Trained weights in and out, in Hugging Face's format: a folder, a built-in model, or a hub id."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from w2vlearn import model as models
from w2vlearn.checkpoints.files import find_folder, read_config, read_weights, weight_files
from w2vlearn.checkpoints.keys import HEADS, choose_head, fit_keys
from w2vlearn.checkpoints.processing import Processing
from w2vlearn.checkpoints.vocabulary import Vocabulary
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.paths import local_path

__all__ = ["Loaded", "load", "save"]


@dataclass(frozen=True)
class Loaded:
    """Where a model's weights came from: ``model.loaded``.

    Attributes
    ----------
    name : str
        What `load` was asked for.
    folder : Path
    files : tuple of str
        The weight files, in the order read.
    head : str
        ``"plain"``, ``"ctc"``, ``"pretraining"`` or ``"classification"``.
    notes : tuple of str
        What was left out, filled in or assumed, in words.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    head: str
    notes: tuple[str, ...] = ()

    def __str__(self):
        lines = [f"{self.name}: {HEADS[self.head]} from {', '.join(self.files)}"]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def load(name: str | Path, *, head: str | None = None, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Load a trained model.

    Parameters
    ----------
    name : str or Path
        A folder with ``config.json`` and weights (``model.safetensors`` or an old ``pytorch_model.bin``, in one piece
        or in shards), a built-in model (``"digits-group"``, ``"digits-layer"``), or a hub id such as
        ``"facebook/wav2vec2-base-960h"``, which is downloaded once and cached.
    head : {"plain", "ctc", "pretraining", "classification"}, optional
        What to build. Default: what the checkpoint is. ``"plain"`` loads the encoder of any of them and leaves the
        head out, whatever it is.
    dtype : torch.dtype
        Of the weights in the model, whatever the files hold (the built-in ones hold float16).

    Returns
    -------
    Module
        In eval mode, on the CPU, with three things attached: ``.vocabulary`` (`Vocabulary`, or None where the
        checkpoint has none), ``.processing`` (`Processing`) and ``.loaded`` (`Loaded`: files and notes; print it).

    Raises
    ------
    CheckpointError
        A ValueError: no such checkpoint, not reachable, another architecture, a damaged file, weights that do not fit
        (all of them are listed), or a vocabulary that does not fit the head.
    """
    folder = find_folder(name)
    config, stored = read_config(folder)
    files = weight_files(folder)
    weights = read_weights(files, dtype)
    kind = choose_head(stored.get("architectures"), weights, head, str(folder))
    with torch.device("meta"):  # names and shapes only: drawing random weights would cost a second and the random state
        model = getattr(models, HEADS[kind])(config)
    weights, notes = fit_keys(weights, model.state_dict(), kind, str(name), drop_heads=head == "plain")
    model.load_state_dict(weights, assign=True)
    model.requires_grad_(True)
    model.processing = Processing.from_folder(folder)
    if model.processing is None:
        model.processing = Processing.for_config(config)
        notes.append(
            f"no preprocessor_config.json: {config.feat_extract_norm} norm, so "
            + ("normalised clips and a mask" if model.processing.do_normalize else "clips as they are and no mask")
        )
    # Only letters scored by a CTC head need names; what lies beside other models may belong to another one.
    model.vocabulary = vocabulary = Vocabulary.from_folder(folder, config) if kind == "ctc" else None
    if vocabulary is not None and vocabulary.blank_id != config.pad_token_id:
        notes.append(
            f"config.json calls id {config.pad_token_id} the blank, the vocabulary id {vocabulary.blank_id} "
            f"({vocabulary.blank!r}); decoding follows the vocabulary, the loss the config"
        )
    model.loaded = Loaded(str(name), folder, tuple(file.name for file in files), kind, tuple(notes))
    return model.eval()


def save(model: nn.Module, folder: str | Path, *, dtype: torch.dtype | None = None) -> Path:
    """Write a model as Hugging Face does, so that `load` and transformers' ``from_pretrained`` read it.

    Parameters
    ----------
    model : Module
        One of w2vlearn's models. Its ``.vocabulary`` and ``.processing`` are written too, where it has them.
    folder : str or Path
        Created if it does not exist; files of the same names are replaced.
    dtype : torch.dtype, optional
        Of the stored weights: float16 halves the file. Default: as in the model. ``config.json`` names the model's own,
        in which transformers loads them whatever the file holds.

    Returns
    -------
    Path
        The folder, with ``config.json``, ``model.safetensors`` and, for a vocabulary, what a tokenizer needs.

    Raises
    ------
    TypeError
        If ``model`` is not one of w2vlearn's models.
    """
    from safetensors.torch import save as to_bytes

    if type(model).__name__ not in HEADS.values() or not isinstance(getattr(model, "config", None), Wav2Vec2Config):
        raise TypeError(
            f"save writes w2vlearn's own models ({', '.join(HEADS.values())}), found a {type(model).__name__}"
        )
    folder = local_path(folder, "save")
    folder.mkdir(parents=True, exist_ok=True)
    own_dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    processing = getattr(model, "processing", None) or Processing.for_config(model.config)
    settings = {
        "config.json": {"architectures": [type(model).__name__], "dtype": own_dtype, **model.config.to_dict()},
        "preprocessor_config.json": processing.to_dict(),
    }
    if getattr(model, "vocabulary", None) is not None:
        settings |= model.vocabulary.to_files()
    for name, content in settings.items():
        text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    weights = {
        key: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous() for key, tensor in model.state_dict().items()
    }
    new = folder / "model.safetensors.new"
    new.write_bytes(to_bytes(weights, {"format": "pt"}))  # save_file makes files that only their owner can read
    os.replace(new, folder / "model.safetensors")  # never half a file under the real name
    return folder
