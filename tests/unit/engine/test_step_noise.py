"""Random numbers belong to the rows of the whole batch."""

import pytest
import torch

from facemorph.engine.step_noise import StepNoise


def whole(step=3, seed=1, total=8):
    return StepNoise(seed, step, torch.arange(total), total)


@pytest.mark.parametrize("parts", [2, 4])
def test_ranks_and_micro_batches_draw_what_the_whole_batch_draws(parts):
    expected = whole().normal("codes", 5)
    for index in range(parts):
        ranked = StepNoise(1, 3, torch.arange(8 // parts) * parts + index, 8)
        assert torch.equal(ranked.normal("codes", 5), expected[index::parts])
        assert torch.equal(whole().part(index, parts).normal("codes", 5), expected[index::parts])
        again = whole().part(index, parts)
        assert torch.equal(again.uniform("shift", 2), whole().uniform("shift", 2)[index::parts])


def test_steps_names_and_seeds_draw_different_numbers():
    found = [
        whole().normal("codes", 5),
        whole().normal("shift", 5),
        whole(step=4).normal("codes", 5),
        whole(seed=2).normal("codes", 5),
    ]
    for one, first in enumerate(found):
        for second in found[one + 1 :]:
            assert (first - second).abs().max() > 0.1


def test_numbers_have_their_distribution():
    noise = StepNoise(0, 0, torch.arange(4000), 4000)
    normal, uniform = noise.normal("a", 3), noise.uniform("b", 3)
    assert abs(float(normal.mean())) < 0.05
    assert abs(float(normal.std()) - 1) < 0.05
    assert 0 <= float(uniform.min()) < 0.01
    assert 0.99 < float(uniform.max()) < 1
