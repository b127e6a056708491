"""The annotated model. Read the files in the paper's order:

``feature_encoder`` -> ``feature_projection`` -> ``positional_embedding`` -> ``attention`` -> ``encoder`` ->
``wav2vec2`` -> ``ctc``.
"""

from w2vlearn.model.ctc import Wav2Vec2ForCTC
from w2vlearn.model.outputs import CTCOutput, Wav2Vec2Output
from w2vlearn.model.wav2vec2 import Wav2Vec2Model

__all__ = ["CTCOutput", "Wav2Vec2ForCTC", "Wav2Vec2Model", "Wav2Vec2Output"]
