"""Follow a batch through a model: what passed each layer, under which mask, and what of it is real."""

from w2vlearn.tracing.diff import Diff
from w2vlearn.tracing.export import ExportError
from w2vlearn.tracing.leak import LeakReport, padding_leak
from w2vlearn.tracing.observe import TraceError, trace
from w2vlearn.tracing.receptive_field import ReceptiveField, receptive_field
from w2vlearn.tracing.record import BatchInfo, LayerRecord, MaskSeen, TensorInfo, Trace
from w2vlearn.tracing.symbolic import SymbolicTrace, symbolic_trace

__all__ = [
    "BatchInfo",
    "Diff",
    "ExportError",
    "LayerRecord",
    "LeakReport",
    "MaskSeen",
    "ReceptiveField",
    "SymbolicTrace",
    "TensorInfo",
    "Trace",
    "TraceError",
    "padding_leak",
    "receptive_field",
    "symbolic_trace",
    "trace",
]
