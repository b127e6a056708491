"""Small faults to plant in the package, and what must see each one: a unit test, a lesson, or both.

``tools/faults.py`` plants them one at a time in a scratch copy. ``unit`` is a test file (or ``file::test``) that goes
red, ``lesson`` the number of a lesson whose outputs change. Add a fault in the block of the lesson that teaches the
code it breaks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """``old`` becomes ``new`` in ``file``; ``old`` stands there once."""

    name: str
    file: str
    old: str
    new: str
    unit: str = ""
    lesson: int | None = None


GEOMETRY, MASKS, BATCH = "w2vlearn/geometry.py", "w2vlearn/padding_masks.py", "w2vlearn/batch.py"
MODEL, ENCODER, CONVOLUTIONS, POSITIONS, PROJECTION, CTC, PRETRAINING, CHECKS = (
    f"w2vlearn/model/{name}.py"
    for name in (
        "wav2vec2",
        "encoder",
        "feature_encoder",
        "positional_embedding",
        "feature_projection",
        "ctc",
        "pretraining",
        "input_checks",
    )
)
TEXT, CHUNKS = "w2vlearn/text.py", "w2vlearn/chunks.py"

FAULTS = (
    # ---------------------------------------------------------------- lesson 0: the question
    Fault(
        "frame count: one too high",
        GEOMETRY,
        "length = max(0, (length - kernel) // stride + 1)",
        "length = max(0, (length - kernel) // stride + 2)",
        unit="tests/test_geometry.py",
        lesson=0,
    ),
    Fault(
        "frame count: rounded up",
        GEOMETRY,
        "length = max(0, (length - kernel) // stride + 1)",
        "length = max(0, -((kernel - length) // stride) + 1)",
        unit="tests/test_geometry.py",
        lesson=0,
    ),
    Fault(
        "frame mask: inverted",
        MASKS,
        "return torch.arange(frames, device=frame_lengths.device) < frame_lengths[:, None]",
        "return torch.arange(frames, device=frame_lengths.device) >= frame_lengths[:, None]",
        unit="tests/test_model.py",
        lesson=0,
    ),
    Fault(
        "frame mask: one frame too many",
        MASKS,
        "return torch.arange(frames, device=frame_lengths.device) < frame_lengths[:, None]",
        "return torch.arange(frames, device=frame_lengths.device) <= frame_lengths[:, None]",
        unit="tests/test_model.py",
        lesson=0,
    ),
    Fault(
        "model: a stride of another size",
        CONVOLUTIONS,
        "stride=config.conv_stride[index],",
        "stride=config.conv_kernel[index] // 2,",
        unit="tests/test_model.py",
        lesson=0,
    ),
    Fault(
        "model: the mask is never used for the lengths",
        MODEL,
        "        if sample_mask is None:\n            sample_mask = torch.ones_like(input_values, dtype=torch.bool)",
        "        if True:\n            sample_mask = torch.ones_like(input_values, dtype=torch.bool)",
        unit="tests/test_model.py",
        lesson=0,
    ),
    # ---------------------------------------------------------------- lesson 1: waveforms and batches
    Fault(
        "pad: normalised over the padding",
        BATCH,
        "        clips = [(clip - clip.mean()) / torch.sqrt(clip.var(correction=0) + 1e-7) for clip in clips]\n",
        """        rows = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        clips = [(clip - row.mean()) / torch.sqrt(row.var(correction=0) + 1e-7) for clip, row in zip(clips, rows)]
""",
        unit="tests/test_batch.py",
        lesson=1,
    ),
    Fault(
        "pad: the shortest clip decides",
        BATCH,
        "        return sample_mask(self.lengths, self.waveforms.shape[1])",
        "        return sample_mask(self.lengths.clamp(max=int(self.lengths.min())), self.waveforms.shape[1])",
        unit="tests/test_batch.py",
        lesson=0,
    ),
    Fault(
        "sample mask: one sample too many",
        MASKS,
        "return torch.arange(samples, device=lengths.device) < lengths[:, None]",
        "return torch.arange(samples, device=lengths.device) <= lengths[:, None]",
        unit="tests/test_batch.py",
        lesson=1,
    ),
    Fault(
        "read: channels added, not averaged",
        "w2vlearn/audio.py",
        "mono = waveform.mean(axis=1)",
        "mono = waveform.sum(axis=1)",
        unit="tests/test_audio.py",
        lesson=1,
    ),
    Fault(
        "read: the sample rate left as it is",
        "w2vlearn/audio.py",
        "    if found_rate != sample_rate:",
        "    if found_rate < 0:",
        unit="tests/test_audio.py",
        lesson=1,
    ),
    # ---------------------------------------------------------------- lesson 2: feature encoder
    Fault(
        "span: starts one hop late",
        GEOMETRY,
        "start = _frame(t) * self.hop",
        "start = (_frame(t) + 1) * self.hop",
        unit="tests/test_geometry.py",
        lesson=2,
    ),
    Fault(
        "span: as long as the hop",
        GEOMETRY,
        "return range(start, start + self.receptive_field)",
        "return range(start, start + self.hop)",
        unit="tests/test_geometry.py",
        lesson=2,
    ),
    Fault(
        "unread tail: one sample short",
        GEOMETRY,
        "return range(self.span(frames - 1).stop if frames else 0, samples)",
        "return range(self.span(frames - 1).stop + 1 if frames else 0, samples)",
        unit="tests/test_geometry.py",
        lesson=2,
    ),
    Fault(
        "layer norm: over time instead of channels",
        CONVOLUTIONS,
        "hidden_states = self.layer_norm(hidden_states)\n        hidden_states = hidden_states.transpose(1, 2)",
        """hidden_states = self.layer_norm(hidden_states)
        hidden_states = hidden_states - hidden_states.mean(1, keepdim=True)
        hidden_states = hidden_states.transpose(1, 2)""",
        unit="tests/test_receptive_field.py",
        lesson=2,
    ),
    Fault(
        "group norm: over all channels",
        CONVOLUTIONS,
        "nn.GroupNorm(num_groups=config.conv_dim[index], num_channels=config.conv_dim[index])",
        "nn.GroupNorm(num_groups=1, num_channels=config.conv_dim[index])",
        unit="tests/test_parity.py",
        lesson=0,
    ),
    # ---------------------------------------------------------------- lesson 3: feature projection
    Fault(
        "projection: LayerNorm over time too",
        PROJECTION,
        "        extract_features = self.layer_norm(hidden_states)",
        """        extract_features = self.layer_norm(hidden_states)
        extract_features = extract_features - extract_features.mean(1, keepdim=True)""",
        unit="tests/test_parity.py",
        lesson=3,
    ),
    Fault(
        "projection: the raw features returned",
        PROJECTION,
        """        extract_features = self.layer_norm(hidden_states)
        hidden_states = self.projection(extract_features)""",
        """        extract_features = hidden_states
        hidden_states = self.projection(self.layer_norm(hidden_states))""",
        unit="tests/test_parity.py",
        lesson=3,
    ),
    Fault(
        "model: channels and frames not swapped but read anew",
        MODEL,
        "extract_features = extract_features.transpose(1, 2)",
        "extract_features = extract_features.reshape(len(extract_features), -1, extract_features.shape[1])",
        unit="tests/test_parity.py",
    ),
    # ---------------------------------------------------------------- lesson 4: masks
    Fault(
        "additive mask: the wrong way round",
        MASKS,
        ".masked_fill(~mask, torch.finfo(dtype).min)",
        ".masked_fill(mask, torch.finfo(dtype).min)",
        unit="tests/test_batch.py",
        lesson=4,
    ),
    Fault(
        "attention mask: queries instead of keys",
        MASKS,
        "return frame_mask[:, None, None, :].expand(clips, 1, frames, frames)",
        "return frame_mask[:, None, :, None].expand(clips, 1, frames, frames)",
        unit="tests/test_model.py",
        lesson=4,
    ),
    Fault(
        "eager attention: the mask ignored",
        ENCODER,
        "    if mask is not None:",
        "    if mask is None:",
        unit="tests/test_model.py",
    ),
    Fault(
        "additive mask: minus a billion",
        MASKS,
        ".masked_fill(~mask, torch.finfo(dtype).min)",
        ".masked_fill(~mask, -1e9)",
        unit="tests/test_batch.py",
    ),
    Fault(
        "frame lengths: rounded up",
        GEOMETRY,
        "((lengths - self.receptive_field) // self.hop + 1)",
        "(-((self.receptive_field - lengths) // self.hop) + 1)",
        unit="tests/test_batch.py",
        lesson=4,
    ),
    Fault(
        "encoder: attention is told nothing",
        ENCODER,
        "return padding_masks.zero_padding(hidden_states, frame_mask), padding_masks.attention_mask(frame_mask)",
        "return padding_masks.zero_padding(hidden_states, frame_mask), None",
        unit="tests/test_model.py",
        lesson=4,
    ),
    Fault(
        "checks: left padding is let in",
        CHECKS,
        "    if not bool(row[0]):",
        "    if False:",
        unit="tests/test_model.py",
        lesson=4,
    ),
    # ---------------------------------------------------------------- lesson 5: alone or in a batch
    Fault(
        "padding: not zeroed before the positional convolution",
        MASKS,
        "return hidden_states.masked_fill(~frame_mask[:, :, None], 0.0)",
        "return hidden_states",
        unit="tests/test_model.py",
        lesson=5,
    ),
    Fault(
        "model: the mask never reaches the Transformer",
        MODEL,
        "hidden_states, attention_mask=None if sample_mask is None else frame_mask",
        "hidden_states, attention_mask=None",
        unit="tests/test_model.py",
        lesson=5,
    ),
    Fault(
        "receptive field: called exact without a second look",
        "w2vlearn/tracing/receptive_field.py",
        'status="exact" if spans[0] == spans[1] else "whole input"',
        'status="exact"',
        unit="tests/test_receptive_field.py",
        lesson=5,
    ),
    Fault(
        "padding leak: the batch compared with itself",
        "w2vlearn/tracing/leak.py",
        "differences = [(here - alone).double() for here, alone in pairs]",
        "differences = [(here - here).double() for here, alone in pairs]",
        unit="tests/test_leak.py",
        lesson=5,
    ),
    # ---------------------------------------------------------------- lesson 6: positions and attention
    Fault(
        "positional convolution: not trimmed",
        POSITIONS,
        "self.surplus = 1 if kernel % 2 == 0 else 0",
        "self.surplus = 0",
        unit="tests/test_model.py",
        lesson=0,
    ),
    Fault(
        "positional convolution: trimmed at the front",
        POSITIONS,
        "return hidden_states[:, :, : hidden_states.shape[2] - self.surplus]",
        "return hidden_states[:, :, self.surplus :]",
        unit="tests/test_parity.py",
        lesson=6,
    ),
    Fault(
        "attention: heads split along the wrong axis",
        ENCODER,
        "features.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)",
        "features.unflatten(-1, (-1, self.num_heads)).movedim(-1, 1)",
        unit="tests/test_parity.py",
        lesson=6,
    ),
    Fault(
        "eager attention: scaled by d, not by its root",
        ENCODER,
        "key.transpose(2, 3) / query.shape[-1] ** 0.5",
        "key.transpose(2, 3) / query.shape[-1]",
        unit="tests/test_model.py",
        lesson=6,
    ),
    Fault(
        "hidden states: the first one left out",
        ENCODER,
        "        collected = (hidden_states,)",
        "        collected = ()",
        unit="tests/test_parity.py",
        lesson=6,
    ),
    Fault(
        "positional convolution: half the padding",
        POSITIONS,
        "padding=kernel // 2,",
        "padding=kernel // 4,",
        unit="tests/test_model.py",
        lesson=6,
    ),
    # ---------------------------------------------------------------- lesson 7: CTC
    Fault(
        "CTC: padding counted as frames",
        CTC,
        "        frame_lengths,\n        is_token.sum(dim=1),",
        "        torch.full_like(frame_lengths, logits.shape[1]),\n        is_token.sum(dim=1),",
        unit="tests/test_parity.py",
        lesson=7,
    ),
    Fault(
        "CTC: blanks in the labels kept",
        CTC,
        "is_token = (labels != -100) & (labels != config.pad_token_id)",
        "is_token = labels != -100",
        lesson=7,
    ),
    Fault(
        "decoding: the blank written down",
        TEXT,
        "        if token_id != blank_id:",
        "        if token_id >= 0:",
        unit="tests/test_text.py::test_the_rules_by_hand",
        lesson=7,
    ),
    Fault(
        "times: a piece ends a frame too late",
        TEXT,
        "geometry.span(frames.stop - 1).stop",
        "geometry.span(frames.stop).stop",
        unit="tests/test_text.py::test_times_lie_on_the_frame_grid",
        lesson=7,
    ),
    # ---------------------------------------------------------------- lesson 8: pre-training
    Fault(
        "time mask: spans on padding",
        "w2vlearn/model/time_masks.py",
        "score.masked_fill(position > (lengths - span)[:, None], 2.0)",
        "score.masked_fill(position > size - span, 2.0)",
        unit="tests/test_time_masks.py",
        lesson=8,
    ),
    Fault(
        "time mask: spans one frame too short",
        "w2vlearn/model/time_masks.py",
        "F.pad(begun, (span, 0))[:, :size]",
        "F.pad(begun, (span - 1, 0))[:, :size]",
        unit="tests/test_time_masks.py",
        lesson=8,
    ),
    Fault(
        "time mask: what is seen is hidden",
        "w2vlearn/model/time_masks.py",
        "torch.where(time_mask[:, :, None], mask_vector.to(hidden_states.dtype), hidden_states)",
        "torch.where(time_mask[:, :, None], hidden_states, hidden_states)",
        unit="tests/test_pretraining.py",
        lesson=8,
    ),
    Fault(
        "quantizer: codebooks and entries swapped",
        "w2vlearn/model/quantizer.py",
        "scores = scores.unflatten(-1, (self.num_groups, self.num_vars))",
        "scores = scores.unflatten(-1, (self.num_vars, self.num_groups)).transpose(2, 3)",
        unit="tests/test_pretraining.py",
        lesson=8,
    ),
    Fault(
        "quantizer: one codebook for both",
        "w2vlearn/model/quantizer.py",
        "        return codevectors.flatten(2), codes, perplexity(usage, counted)",
        "        return codevectors.flatten(2)[..., : codevectors.shape[-1]], codes, perplexity(usage, counted)",
        unit="tests/test_pretraining.py",
        lesson=8,
    ),
    Fault(
        "negatives: the positive among them",
        PRETRAINING,
        "    number = number + (number >= own[:, :, None])",
        "    number = number + 0 * own[:, :, None]",
        unit="tests/test_pretraining.py",
        lesson=8,
    ),
    Fault(
        "negatives: rows of the first clip",
        PRETRAINING,
        "    negatives = negatives + frames * torch.arange(clips, device=device)[:, None, None]",
        "    negatives = negatives + 0 * torch.arange(clips, device=device)[:, None, None]",
        unit="tests/test_pretraining.py",
        lesson=8,
    ),
    Fault(
        "contrastive loss: equal tokens count as wrong answers",
        PRETRAINING,
        "negative = negative.masked_fill(same_token.all(dim=-1), -torch.inf)",
        "negative = negative.masked_fill(same_token.all(dim=-1) & False, -torch.inf)",
        unit="tests/test_pretraining.py",
        lesson=8,
    ),
    # ---------------------------------------------------------------- lesson 9: long audio
    Fault(
        "chunks: sizes off the frame grid accepted",
        CHUNKS,
        "    if abs(seconds / hop_s - frames) > 1e-6:",
        "    if abs(seconds / hop_s - frames) > 1:",
        unit="tests/test_chunks.py::test_sizes_off_the_grid_are_refused_with_the_nearest",
        lesson=9,
    ),
    Fault(
        "chunks: context not dropped on the left",
        CHUNKS,
        "slice(self.keep.start - self.read.start, self.keep.stop - self.read.start)",
        "slice(0, self.keep.stop - self.keep.start)",
        unit="tests/test_chunks.py::test_without_attention_layer_norm_is_exact_once_the_context_covers_the_positions",
        lesson=9,
    ),
    Fault(
        "chunks: the last window cut at the hop",
        CHUNKS,
        "range(geometry.span(read.start).start, geometry.span(read.stop - 1).stop)",
        "range(geometry.span(read.start).start, geometry.span(read.stop).start)",
        unit="tests/test_chunks.py::test_each_frame_is_kept_once_and_read_with_its_context",
        lesson=9,
    ),
    # ---------------------------------------------------------------- lesson 10: your own model
    Fault(
        "adapter: valid frames without the zeros",
        "w2vlearn/model/adapter.py",
        "self.geometry.frame_counts(frame_lengths + 2 * PADDING)",
        "self.geometry.frame_counts(frame_lengths + PADDING)",
        unit="tests/test_model.py",
    ),
    Fault(
        "adapter: no zeros beside the frames",
        "w2vlearn/model/adapter.py",
        "            padding=PADDING,",
        "            padding=0,",
        unit="tests/test_model.py",
        lesson=10,
    ),
    Fault(
        "checkpoint: old names unknown",
        "w2vlearn/checkpoint_keys.py",
        '(("weight_g", "weight.original0"), ("weight_v", "weight.original1"))',
        '(("weight_v", "weight.original0"), ("weight_g", "weight.original1"))',
        unit="tests/test_checkpoint.py",
        lesson=10,
    ),
    # ---------------------------------------------------------------- lesson 11: error gallery
    Fault(
        "checks: an inverted mask passes",
        CHECKS,
        "    if not bool(row[0]):",
        "    if not bool(row[0]) and False:",
        unit="tests/test_model.py::test_bad_input_is_refused_before_anything_is_computed",
        lesson=11,
    ),
    Fault(
        "checks: a clip too short inside a longer batch passes",
        CHECKS,
        "misplaced.any(dim=1) | (lengths < shortest)",
        "misplaced.any(dim=1) | (lengths < 0)",
        unit="tests/test_model.py::test_bad_input_is_refused_before_anything_is_computed",
        lesson=11,
    ),
)
