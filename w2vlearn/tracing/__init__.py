"""Follow a batch through a model: what passed each layer, under which mask, and what of it is real."""

from w2vlearn.tracing.observe import TraceError, trace
from w2vlearn.tracing.record import BatchInfo, LayerRecord, MaskSeen, TensorInfo, Trace

__all__ = ["BatchInfo", "LayerRecord", "MaskSeen", "TensorInfo", "Trace", "TraceError", "trace"]
