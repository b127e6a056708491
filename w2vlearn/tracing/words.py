"""A layer in words, and whether it looks along the time axis. Decided by the module's class, not its name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from w2vlearn.tracing.labels import is_time

_CONVOLUTIONS = (nn.modules.conv._ConvNd,)
_ACTIVATIONS = {"gelu": "GELU", "relu": "ReLU", "silu": "SiLU", "swish": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid"}


def heads_of(module: nn.Module) -> int | None:
    """Number of attention heads, for a module that is one attention; None for others."""
    for name in ("num_heads", "num_attention_heads", "n_heads", "nhead"):
        heads = getattr(module, name, None)
        if isinstance(heads, int) and not isinstance(heads, bool):
            return heads
    return None


def what(module: nn.Module) -> str:
    """In words: ``"convolution, kernel 10, stride 5, 1 -> 512 channels"``."""
    kind = _original_class(module)
    name = kind.__name__
    if isinstance(module, _CONVOLUTIONS):
        return _convolution(module)
    if isinstance(module, nn.Linear):
        return f"linear, {module.in_features} -> {module.out_features} features, each position by itself"
    if isinstance(module, nn.GroupNorm):
        groups = "one per channel" if module.num_groups == module.num_channels else f"of {module.num_channels} channels"
        return f"group norm, {module.num_groups} groups ({groups}), statistics over time"
    if isinstance(module, nn.LayerNorm):
        return f"layer norm over {_product(module.normalized_shape)} features, each position by itself"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        how = "statistics over batch and time" if module.training else "stored statistics"
        return f"batch norm, {module.num_features} channels, {how}"
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return f"instance norm, {module.num_features} channels, statistics over time"
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return f"dropout {module.p:g}" + ("" if module.training else ", off in eval mode")
    if isinstance(module, nn.RNNBase):
        ways = ", both directions" if module.bidirectional else ""
        return (
            f"recurrent {name}, {module.input_size} -> {module.hidden_size} features, {module.num_layers} layers{ways}"
        )
    if isinstance(module, nn.Embedding):
        return f"embedding, {module.num_embeddings} entries of {module.embedding_dim} features"
    if isinstance(module, nn.Identity):
        return "identity: hands its input on"
    lower = name.lower()
    if "activation" in lower or not list(module.children()):
        for key, text in _ACTIVATIONS.items():
            if key in lower:
                return f"{text}, each number by itself"
    if _is_attention(module) and (heads := heads_of(module)) is not None:
        width = next((getattr(module, key) for key in ("embed_dim", "hidden_size") if _is_int(module, key)), None)
        each = module.head_dim if _is_int(module, "head_dim") else width // heads if width else None
        return f"self-attention, {heads} heads" + (f" of {each} features" if each else "")
    if "weightnorm" in lower.replace("_", ""):
        return "weight norm: the kernel from its length and direction"
    if name == "ParametrizationList":
        return "computes a parameter from others"
    parts = sum(1 for _ in module.children())
    return f"{name}, {parts} part{'s' if parts != 1 else ''}" if parts else name


def _convolution(module: nn.Module) -> str:
    def sizes(values: Sequence[int]) -> str:
        return " x ".join(str(value) for value in values)

    text = "transposed convolution" if module.transposed else "convolution"
    text += f", kernel {sizes(module.kernel_size)}, stride {sizes(module.stride)}"
    if isinstance(module.padding, str):
        text += f", padding {module.padding}"
    elif any(module.padding):
        text += f", padding {sizes(module.padding)}"
    if any(value != 1 for value in module.dilation):
        text += f", dilation {sizes(module.dilation)}"
    text += f", {module.in_channels} -> {module.out_channels} channels"
    if module.groups != 1:
        text += f", {module.groups} groups"
    if "parametrizations" in module._modules or hasattr(module, "weight_g"):
        text += ", weight-normed"
    return text


def _original_class(module: nn.Module) -> type:
    """The class as written; a parametrized module carries one made up by torch (``ParametrizedConv1d``)."""
    kind = type(module)
    return kind.__mro__[1] if kind.__name__.startswith("Parametrized") and len(kind.__mro__) > 1 else kind


def class_name(module: nn.Module) -> str:
    """Name of the class as written; for TorchScript that of the original."""
    return getattr(module, "original_name", None) or _original_class(module).__name__


def _is_int(module: nn.Module, name: str) -> bool:
    return isinstance(getattr(module, name, None), int)


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _is_attention(module: nn.Module) -> bool:
    return isinstance(module, nn.MultiheadAttention) or "attention" in type(module).__name__.lower()


def mixes_time(module: nn.Module, letters: Sequence[str]) -> bool:
    """Whether this module itself looks along the time axis (what it calls is not counted).

    Parameters
    ----------
    module : nn.Module
        The module.
    letters : sequence of str
        Letters of its main input's axes; empty if not known, then the usual layout is assumed.
    """
    timed = [axis for axis, letter in enumerate(letters) if is_time(letter)]
    if isinstance(module, _CONVOLUTIONS):
        kernel = module.kernel_size
        if not timed:
            return not letters and kernel[-1] > 1
        spatial = {axis - (len(letters) - len(kernel)) for axis in timed}
        return any(0 <= axis < len(kernel) and (kernel[axis] > 1 or module.stride[axis] > 1) for axis in spatial)
    if isinstance(module, (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)):
        return any(axis >= 2 for axis in timed) if letters else True
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return (module.training or not module.track_running_stats) and (bool(timed) or not letters)
    if isinstance(module, nn.LayerNorm):
        return any(axis >= len(letters) - len(module.normalized_shape) for axis in timed)
    if isinstance(module, nn.Linear):
        return bool(timed) and timed[-1] == len(letters) - 1
    if isinstance(module, (nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)) or _is_attention(
        module
    ):
        return True
    if isinstance(module, nn.modules.pooling._AvgPoolNd | nn.modules.pooling._MaxPoolNd):
        kernel = module.kernel_size
        return any(size > 1 for size in ((kernel,) if isinstance(kernel, int) else kernel)) and (
            bool(timed) or not letters
        )
    if isinstance(module, nn.modules.pooling._AdaptiveAvgPoolNd | nn.modules.pooling._AdaptiveMaxPoolNd):
        return bool(timed) or not letters
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and letters and module.dim is not None:
        return module.dim % len(letters) in timed
    return False
