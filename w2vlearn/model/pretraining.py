"""Pre-training: hide frames, predict what the quantizer made of them, among negatives.

                     extract_features (B, T, C) --> quantizer --> project_q ---> targets    (B, T, P)
    waveforms (B, L) <
                     projection, time mask --> Transformer --> project_hid ----> prediction (B, T, P)

The time mask acts *after* the two paths part: the quantizer sees every frame, the Transformer does not. In this file:
what a step asks (negatives, task), what it costs (losses), and the model.

All losses are *sums* over hidden frames, as in Hugging Face and fairseq. Divide by the number of hidden frames before
comparing batches or choosing a learning rate.

Paper, sections 2 and 3, equations 2 to 4; Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2ForPreTraining``); fairseq
``wav2vec2.py`` (``compute_preds``) and ``wav2vec_criterion.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.model.initialise import initialise
from w2vlearn.model.input_checks import check_negatives, check_time_mask, readable
from w2vlearn.model.outputs import PreTrainingOutput
from w2vlearn.model.quantizer import Wav2Vec2GumbelVectorQuantizer
from w2vlearn.model.time_masks import sample_time_mask
from w2vlearn.model.wav2vec2 import Wav2Vec2Model

__all__ = [
    "Wav2Vec2ForPreTraining",
    "contrastive_accuracy",
    "contrastive_logits",
    "contrastive_loss",
    "diversity_loss",
    "sample_negatives",
    "sample_task",
]


def sample_negatives(time_mask: Tensor, num_negatives: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """Negatives ("distractors"): K other hidden frames of the same clip for each hidden frame, with replacement.

    Drawn uniformly; from the same clip, so that the speaker's voice or the room's noise does not give the answer away.
    Padded frames are never drawn, because a time mask never marks them.

    Parameters
    ----------
    time_mask : Tensor
        Shape: (B, T), bool, True = hidden; at least two per clip.
    num_negatives : int
        K, at least 1.
    generator : torch.Generator, optional
        Source of randomness; default: torch's own.

    Returns
    -------
    Tensor
        Shape: (B, T, K), int64. Hugging Face's numbering: frame t of clip b is ``b * T + t``, its row in the
        quantized features (B, T, P) once flattened to (B T, P). Rows of frames that are not hidden hold the
        clip's first frame; nothing reads them.

    Raises
    ------
    TypeError, ValueError
        If ``time_mask`` is no (B, T) of booleans, a clip has fewer than two hidden frames, or ``num_negatives`` < 1.

    Notes
    -----
    Paper, section 3.2; Hugging Face ``modeling_wav2vec2.py`` (``_sample_negative_indices``); fairseq ``wav2vec2.py``
    (``sample_negatives``).
    """
    check_time_mask(time_mask)
    if num_negatives < 1:
        raise ValueError(f"num_negatives must be at least 1, found {num_negatives}")
    for clip, hidden in enumerate(time_mask.sum(dim=1).tolist() if readable(time_mask) else []):
        if hidden < 2:
            raise ValueError(
                f"clip {clip} has {hidden} hidden frames; a negative is another hidden frame of the same clip, so "
                "two are needed: leave the clip out, or hide more of it"
            )
    clips, frames = time_mask.shape
    device = time_mask.device if generator is None else generator.device
    mask = time_mask.to(device)

    others = mask.sum(dim=1) - 1  # (B,): hidden frames without the one in question
    shape = (clips, frames, num_negatives)
    draw = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)  # (B, T, K)
    number = (draw * others[:, None, None]).long()  # (B, T, K): 0 … others - 1
    own = mask.cumsum(dim=1) - 1  # (B, T): a hidden frame's own number among the hidden ones
    number = number + (number >= own[:, :, None])  # step over it: still uniform, never the positive

    hidden_first = (~mask).int().argsort(dim=1, stable=True)  # (B, T): number -> frame
    negatives = hidden_first.gather(1, number.flatten(1)).view_as(number)  # (B, T, K) -> (B, T K) -> (B, T, K)
    negatives = negatives.masked_fill(~mask[:, :, None], 0)
    negatives = negatives + frames * torch.arange(clips, device=device)[:, None, None]  # frame -> row of (B T, P)
    return negatives.to(time_mask.device)


def sample_task(
    config: Wav2Vec2Config, lengths: Tensor, prob: float = 0.65, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """What one step of pre-training asks: which frames are hidden, and the negatives of each.

    Parameters
    ----------
    config : Wav2Vec2Config
        Gives ``mask_time_length``, ``mask_time_min_masks`` and ``num_negatives``.
    lengths : Tensor
        Valid samples per clip, ``batch.lengths``. Shape: (B,), integer. The longest clip decides T.
    prob : float
        As in :func:`~w2vlearn.model.time_masks.sample_time_mask`; 0.65 hides 49 % (paper). A config's
        ``mask_time_prob`` is the much lower one of fine-tuning, so it is not used here.

    Returns
    -------
    tuple of Tensor
        ``mask_time_indices`` (B, T) bool and ``sampled_negative_indices`` (B, T, K) int64.
    """
    geometry = FrameGeometry.from_config(config)
    frame_lengths = geometry.frame_counts(lengths)  # (B,) -> (B,)
    frames = int(frame_lengths.max())
    time_mask = sample_time_mask(
        frame_lengths, frames, prob, config.mask_time_length, config.mask_time_min_masks, generator
    )  # (B,) -> (B, T)
    return time_mask, sample_negatives(time_mask, config.num_negatives, generator)  # (B, T) -> (B, T, K)


def contrastive_logits(
    predicted: Tensor, targets: Tensor, negatives: Tensor, codes: Tensor, temperature: float = 0.1
) -> Tensor:
    """Similarity of each frame's prediction with its own target and with K negatives.

    Parameters
    ----------
    predicted, targets : Tensor
        Projected context and projected codevectors. Shapes: (B, T, P).
    negatives : Tensor
        As :func:`sample_negatives` returns them. Shape: (B, T, K), integer.
    codes : Tensor
        The quantizer's choices. Shape: (B, T, G), integer.
    temperature : float
        The cosine, -1 … 1, is divided by it: -10 … 10 for 0.1.

    Returns
    -------
    Tensor
        Shape: (B, T, 1 + K), at least float32: the positive first. Minus infinity for a negative to which the quantizer
        gave the same token as to the positive: no wrong answer, so it takes no part.
    """
    frames = targets.shape[1]
    dtype = torch.promote_types(predicted.dtype, torch.float32)
    predicted = F.normalize(predicted.to(dtype), dim=-1, eps=1e-8)
    targets = F.normalize(targets.to(dtype), dim=-1, eps=1e-8)
    # every prediction against every target of its clip: less memory than (B, T, K, P) gathered targets
    similarity = predicted @ targets.transpose(1, 2)  # (B, T, P) x (B, P, T) -> (B, T, T)
    positive = similarity.diagonal(dim1=1, dim2=2)[:, :, None]  # (B, T, T) -> (B, T, 1)
    negative = similarity.gather(2, negatives.long() % frames)  # (B, T, T) -> (B, T, K); row b T + t -> frame t

    same_token = codes.flatten(0, 1)[negatives.long()] == codes[:, :, None]  # (B T, G) -> (B, T, K, G)
    negative = negative.masked_fill(same_token.all(dim=-1), -torch.inf)
    return torch.cat([positive, negative], dim=2) / temperature  # (B, T, 1 + K)


def contrastive_loss(logits: Tensor, time_mask: Tensor) -> Tensor:
    """Cross-entropy of choosing the positive, summed over hidden frames. Shapes: (B, T, 1 + K), (B, T) -> ().

    A guess costs log(1 + K) per frame: 4.62 for K = 100.
    """
    answer = torch.where(time_mask, 0, -100)  # (B, T): the positive is class 0; -100 = left out
    return F.cross_entropy(
        logits.transpose(1, 2), answer, reduction="sum"
    )  # (B, T, 1 + K) -> (B, 1 + K, T): torch's order


def diversity_loss(perplexity: Tensor, entries: int, time_mask: Tensor) -> Tensor:
    """Share of the G * E codebook entries that are *not* in use, times the hidden frames. Shapes: (), (B, T) -> ().

    Notes
    -----
    Equation 4 maximises the entropy; the authors' code, and this, the exponential of it, the perplexity. The factor
    gives it the same scale as the summed contrastive loss. fairseq adds a third term, the mean square of the
    features (weight 10), to the gradient; Hugging Face and this model leave it out.
    """
    return (entries - perplexity) / entries * time_mask.sum()


def contrastive_accuracy(logits: Tensor, time_mask: Tensor) -> Tensor:
    """Share of hidden frames whose positive is strictly the most similar. Shapes: (B, T, 1 + K), (B, T) -> ().

    A frame whose negatives are all the positive's own token counts as wrong: a collapsed codebook is no success.
    """
    best_negative = logits[:, :, 1:].amax(dim=2)  # (B, T, K) -> (B, T)
    right = (logits[:, :, 0] > best_negative) & (best_negative > -torch.inf)
    return (right & time_mask).sum() / time_mask.sum()


class Wav2Vec2ForPreTraining(nn.Module):
    """wav2vec 2.0 with its quantizer: waveforms (B, L) -> predictions and targets (B, T, P), and the loss.

    P is ``proj_codevector_dim``: 256 for BASE, 768 for LARGE.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        if config.add_adapter:
            raise ValueError("pre-training predicts every frame, an adapter merges some; use add_adapter=False")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout_features = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = Wav2Vec2GumbelVectorQuantizer(config)
        self.project_hid = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)
        initialise(self.quantizer)  # project_hid and project_q keep torch's own initialisation

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        sampled_negative_indices: Tensor | None = None,
        gumbel_noise: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> PreTrainingOutput:
        """Run the model; the loss needs both ``mask_time_indices`` and ``sampled_negative_indices``.

        Parameters
        ----------
        input_values, attention_mask, mask_time_indices, output_hidden_states
            As in :meth:`Wav2Vec2Model.forward`.
        sampled_negative_indices : Tensor, optional
            As :func:`sample_negatives` returns them. Shape: (B, T, K), int32 or int64.
        gumbel_noise : Tensor, optional
            For the quantizer, in train mode. Shape: (B, T, G, E). Drawn if not given.

        Returns
        -------
        PreTrainingOutput
            Without negatives, ``loss`` and its parts are None.

        Raises
        ------
        TypeError, ValueError
            See :mod:`w2vlearn.model.input_checks`; raised before anything is computed. Among them: negatives without a
            time mask, and in train mode a time mask without negatives, which would train nothing.
        """
        check_negatives(sampled_negative_indices, mask_time_indices, self.training)
        outputs = self.wav2vec2(
            input_values,
            attention_mask=attention_mask,
            mask_time_indices=mask_time_indices,
            output_hidden_states=output_hidden_states,
        )
        projected_states = self.project_hid(outputs.last_hidden_state)  # (B, T, D) -> (B, T, P)

        extract_features = self.dropout_features(outputs.extract_features)  # (B, T, C), nothing hidden
        codevectors, codes, perplexity = self.quantizer(
            extract_features,
            attention_mask=outputs.frame_mask if outputs.time_mask is None else None,
            mask_time_indices=outputs.time_mask,  # hides valid frames only, so one mask is enough
            gumbel_noise=gumbel_noise,
        )  # (B, T, C) -> (B, T, Q), (B, T, G), ()
        projected_quantized_states = self.project_q(codevectors)  # (B, T, Q) -> (B, T, P)

        result = PreTrainingOutput(
            projected_states=projected_states,
            projected_quantized_states=projected_quantized_states,
            codevector_perplexity=perplexity,
            codes=codes,
            **vars(outputs),
        )
        if sampled_negative_indices is not None:
            self._add_losses(result, sampled_negative_indices)
        return result

    def _add_losses(self, result: PreTrainingOutput, negatives: Tensor) -> None:
        config = self.config
        logits = contrastive_logits(
            result.projected_states,
            result.projected_quantized_states,
            negatives,
            result.codes,
            config.contrastive_logits_temperature,
        )  # (B, T, P), (B, T, P), (B, T, K), (B, T, G) -> (B, T, 1 + K)
        entries = config.num_codevector_groups * config.num_codevectors_per_group
        result.contrastive_loss = contrastive_loss(logits, result.time_mask)
        result.diversity_loss = diversity_loss(result.codevector_perplexity, entries, result.time_mask)
        result.loss = result.contrastive_loss + config.diversity_loss_weight * result.diversity_loss
        result.accuracy = contrastive_accuracy(logits, result.time_mask)
