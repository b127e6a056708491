"""The annotated model. Read the files in the paper's order:

``feature_encoder`` -> ``feature_projection`` -> ``positional_embedding`` -> ``encoder`` -> ``wav2vec2`` -> ``ctc``.

Pre-training comes first in a model's life and last in the reading: ``time_masks`` -> ``quantizer`` -> ``pretraining``.
Two more endings: ``adapter`` and ``classification``. Beside them: what comes out (``outputs``), what may go in
(``input_checks``) and the random weights of a new model (``initialise``).
"""

from w2vlearn.model.classification import Wav2Vec2ForSequenceClassification
from w2vlearn.model.ctc import Wav2Vec2ForCTC
from w2vlearn.model.outputs import ClassificationOutput, CTCOutput, PreTrainingOutput, Wav2Vec2Output
from w2vlearn.model.pretraining import Wav2Vec2ForPreTraining, sample_negatives, sample_task
from w2vlearn.model.time_masks import sample_feature_mask, sample_time_mask
from w2vlearn.model.wav2vec2 import Wav2Vec2Model

__all__ = [
    "CTCOutput",
    "ClassificationOutput",
    "PreTrainingOutput",
    "Wav2Vec2ForCTC",
    "Wav2Vec2ForPreTraining",
    "Wav2Vec2ForSequenceClassification",
    "Wav2Vec2Model",
    "Wav2Vec2Output",
    "sample_feature_mask",
    "sample_negatives",
    "sample_task",
    "sample_time_mask",
]
