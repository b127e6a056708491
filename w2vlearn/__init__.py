"""Learn how wav2vec 2.0 turns waveforms of any length into frames of 768 features.

Three methods lead to every shape: derive it (:class:`FrameGeometry`), observe it (:func:`trace`), prove it
(:func:`symbolic_trace`).
Names load when first used, so ``import w2vlearn`` costs little more than ``import torch``.
"""

from importlib import import_module

from w2vlearn.shown import Shown

_MODULES = {
    "Wav2Vec2Config": "w2vlearn.config",
    "FrameGeometry": "w2vlearn.geometry",
    "read_audio": "w2vlearn.audio",
    "pad": "w2vlearn.batch",
    "Wav2Vec2Model": "w2vlearn.model",
    "Wav2Vec2ForCTC": "w2vlearn.model",
    "Wav2Vec2ForPreTraining": "w2vlearn.model",
    "load": "w2vlearn.checkpoints",
    "trace": "w2vlearn.tracing",
    "Trace": "w2vlearn.tracing",
    "symbolic_trace": "w2vlearn.symbolic",
    "padding_leak": "w2vlearn.tracing",
    "receptive_field": "w2vlearn.tracing",
    "transcribe": "w2vlearn.transcription",
    "explore": "w2vlearn.widgets",
}

__all__ = list(_MODULES)


def _render(value, form: str, **options):
    """How traces and reports show themselves; drawing loads when something is first shown."""
    return import_module("w2vlearn.show").render(value, form, **options)


Shown.renderer = _render


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"w2vlearn has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__():
    return sorted([*globals(), *__all__])
