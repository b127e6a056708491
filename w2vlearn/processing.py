"""How a checkpoint wants its waveforms: the settings that Hugging Face keeps beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from w2vlearn.checkpoint_files import CheckpointError, read_json

__all__ = ["Processing"]


@dataclass(frozen=True)
class Processing:
    """Settings of ``preprocessor_config.json``.

    Attributes
    ----------
    sampling_rate : int
        Samples per second of the waveforms that the model was trained on (16 000 for all published ones).
    do_normalize : bool
        Bring each clip to mean 0 and variance 1 over its real samples.
    return_attention_mask : bool
        Hand the sample mask to the model. False for group norm checkpoints, which were trained without one.
    stored : bool
        False where the checkpoint said nothing and the rule for its norm was taken.

    Notes
    -----
    Hugging Face ``feature_extraction_wav2vec2.py`` (``Wav2Vec2FeatureExtractor``). There the statistics of a
    padded batch without a mask include the padding; here they never do.
    """

    sampling_rate: int = 16_000
    do_normalize: bool = True
    return_attention_mask: bool = False
    stored: bool = True

    @classmethod
    def for_config(cls, config) -> Processing:
        """The rule where nothing is stored: mask and normalisation for layer norm, neither for group norm."""
        layer = config.feat_extract_norm == "layer"
        return cls(do_normalize=layer, return_attention_mask=layer, stored=False)

    @classmethod
    def from_folder(cls, folder: Path) -> Processing | None:
        """Read ``preprocessor_config.json`` (or, newer, ``processor_config.json``); None if there is neither."""
        for name in ("preprocessor_config.json", "processor_config.json"):
            if (folder / name).is_file():
                values = read_json(folder / name)
                values = values.get("feature_extractor", values)
                break
        else:
            return None
        kind = values.get("feature_extractor_type", "Wav2Vec2FeatureExtractor")
        if kind != "Wav2Vec2FeatureExtractor":
            raise CheckpointError(
                f"{folder / name} prepares input for another model ({kind}); wav2vec 2.0 reads waveforms "
                "(Wav2Vec2FeatureExtractor)"
            )
        rate = values.get("sampling_rate", cls.sampling_rate)
        if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
            raise CheckpointError(f"{folder / name}: sampling_rate must be samples per second, found {rate!r}")
        # Hugging Face's own defaults where a field is absent: normalise, no mask.
        return cls(rate, bool(values.get("do_normalize", True)), bool(values.get("return_attention_mask", False)))

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
        }
