"""Follow a batch through a model: what passed each layer, under which mask, and what of it is valid."""

from w2vlearn.tracing.diff import Diff
from w2vlearn.tracing.layers import Layers, Trace
from w2vlearn.tracing.leak import LeakReport, padding_leak
from w2vlearn.tracing.observe import TraceError, trace
from w2vlearn.tracing.receptive_field import ReceptiveField, receptive_field
from w2vlearn.tracing.records import BatchInfo, LayerRecord, MaskSeen, Operation, TensorInfo, TraceData

__all__ = [
    "BatchInfo",
    "Diff",
    "LayerRecord",
    "Layers",
    "LeakReport",
    "MaskSeen",
    "Operation",
    "ReceptiveField",
    "TensorInfo",
    "Trace",
    "TraceData",
    "TraceError",
    "padding_leak",
    "receptive_field",
    "trace",
]
