"""The lesson's pre-training run: its numbers are stored with lesson 8; here what the lesson does not show."""

import pytest
import torch

from course.pretraining_demo import pretrain_tiny


def test_bit_for_bit_the_same_and_torch_generator_untouched():
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first, second = (pretrain_tiny(steps=2, seed=4, progress=False) for _ in range(2))
    assert first == second  # every number of every step
    for other in ({"seed": 5}, {"seed": 4, "diversity_loss_weight": 0.0}):
        assert first != pretrain_tiny(steps=2, **other, progress=False)
    assert torch.equal(state, torch.get_rng_state())


def test_own_clips_a_readable_summary_and_a_progress_bar(capsys):
    record = pretrain_tiny([torch.randn(8000), torch.randn(5000)], steps=3, progress=True)
    assert "pre-training: 100%" in capsys.readouterr().err
    lines = str(record).splitlines()
    assert len(lines) == 5 and lines[-1] == "A guess among 11 costs 2.40 per frame."


def test_bad_input():
    with pytest.raises(ValueError, match="at least one step, found steps = 0"):
        pretrain_tiny(steps=0)
    with pytest.raises(ValueError, match="clip 1 has 9 valid frames, one span needs 10"):
        pretrain_tiny([torch.randn(8000), torch.randn(3279)], progress=False)
