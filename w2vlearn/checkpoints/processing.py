"""How a checkpoint wants its waveforms: the settings that Hugging Face keeps beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from w2vlearn.checkpoints.files import CheckpointError, read_json

__all__ = ["Processing"]


@dataclass(frozen=True)
class Processing:
    """Settings of ``preprocessor_config.json``.

    Attributes
    ----------
    sampling_rate : int
        Samples per second of the waveforms that the model was trained on (16 000 for all published ones).
    do_normalize : bool
        Bring each clip to mean 0 and variance 1 over its valid samples.
    return_attention_mask : bool
        Hand the sample mask to the model. False for group norm checkpoints, which were trained without one.
    unsure_below : float, optional
        A transcript whose mean confidence is lower gets the note "the model is unsure". ``training/`` measures it for
        the models it trains; Hugging Face has no such field. None: `transcribe` takes its own value.

    Notes
    -----
    Hugging Face ``feature_extraction_wav2vec2.py`` (``Wav2Vec2FeatureExtractor``). There the statistics of a
    padded batch without a mask include the padding; here they never do.
    """

    sampling_rate: int = 16_000
    do_normalize: bool = True
    return_attention_mask: bool = False
    unsure_below: float | None = None

    @classmethod
    def for_config(cls, config) -> Processing:
        """The rule where nothing is stored: mask and normalisation for layer norm, neither for group norm."""
        layer = config.feat_extract_norm == "layer"
        return cls(do_normalize=layer, return_attention_mask=layer)

    @classmethod
    def from_folder(cls, folder: Path) -> Processing | None:
        """Read the settings; None if there are none.

        As in transformers, ``processor_config.json`` counts before ``preprocessor_config.json`` if it holds a
        ``feature_extractor``; of older ones, which do not, nothing is read. A field that is absent has Hugging Face's
        default: normalise, no mask.
        """
        path = folder / "processor_config.json"
        values = read_json(path) if path.is_file() else {}
        values = values.get("feature_extractor", values.get("audio_processor"))
        if values is None:
            path = folder / "preprocessor_config.json"
            if not path.is_file():
                return None
            values = read_json(path)
        kind = values.get("feature_extractor_type", "Wav2Vec2FeatureExtractor")
        if kind != "Wav2Vec2FeatureExtractor":
            raise CheckpointError(
                f"{path} prepares input for another model ({kind}); wav2vec 2.0 reads waveforms "
                "(Wav2Vec2FeatureExtractor)"
            )
        rate = values.get("sampling_rate", cls.sampling_rate)
        if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
            raise CheckpointError(f"{path}: sampling_rate must be samples per second, found {rate!r}")
        unsure_below = values.get("unsure_below")
        if unsure_below is not None and (type(unsure_below) not in (int, float) or not 0 <= unsure_below <= 1):
            raise CheckpointError(f"{path}: unsure_below must be a mean confidence, 0 to 1, found {unsure_below!r}")
        return cls(
            rate,
            bool(values.get("do_normalize", True)),
            bool(values.get("return_attention_mask", False)),
            unsure_below=unsure_below,
        )

    def to_dict(self) -> dict:
        """What ``preprocessor_config.json`` holds."""
        return {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "sampling_rate": self.sampling_rate,
            "do_normalize": self.do_normalize,
            "return_attention_mask": self.return_attention_mask,
            **({} if self.unsure_below is None else {"unsure_below": self.unsure_below}),
        }
