"""The lesson's pre-training run goes in the right direction, quickly, and repeats bit for bit."""

import math
import time

import pytest
import torch

from course.pretraining_demo import pretrain_tiny


@pytest.fixture(scope="module")
def record():
    started = time.process_time()  # CPU seconds, whatever else the machine is doing
    record = pretrain_tiny(progress=False)
    assert time.process_time() - started < 60
    return record


def average(values):
    return sum(values) / len(values)


def test_the_loss_falls_well_below_a_guess(record):
    assert len(record) == 100
    assert record.guess == pytest.approx(math.log(11))
    assert average(record.contrastive_loss[:5]) > 0.95 * record.guess  # nothing is known at first
    assert average(record.contrastive_loss[-10:]) < 0.6 * record.guess
    assert average(record.accuracy[:5]) < 0.2
    assert average(record.accuracy[-10:]) > 0.5


def test_the_codebook_stays_in_use_because_of_the_diversity_loss(record):
    assert record.entries == 40
    assert average(record.perplexity[-10:]) > 25
    without = pretrain_tiny(steps=40, diversity_loss_weight=0.0, progress=False)
    assert average(without.perplexity[-5:]) < 0.7 * average(record.perplexity[-10:])


def test_about_half_of_the_frames_are_hidden(record):
    frames = 605  # of the six clips together
    assert average(record.hidden) / frames == pytest.approx(0.46, abs=0.05)  # 49 % but for the clips' edges


def test_bit_for_bit_the_same_and_torch_generator_untouched():
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first, second = (pretrain_tiny(steps=2, seed=4, progress=False) for _ in range(2))
    assert first == second  # every number of every step
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())
    assert first != pretrain_tiny(steps=2, seed=5, progress=False)


def test_own_clips_a_readable_summary_and_a_progress_bar(capsys):
    record = pretrain_tiny([torch.randn(8000), torch.randn(5000)], steps=3, progress=True)
    assert "pre-training: 100%" in capsys.readouterr().err
    lines = str(record).splitlines()
    assert lines[0].startswith("step   loss per frame") and len(lines) == 5
    assert lines[-1] == "A guess among 11 costs 2.40 per frame."


def test_bad_input():
    with pytest.raises(ValueError, match="at least one step, found steps = 0"):
        pretrain_tiny(steps=0)
    with pytest.raises(ValueError, match="clip 1 has 9 valid frames, one span needs 10"):
        pretrain_tiny([torch.randn(8000), torch.randn(3279)], progress=False)
