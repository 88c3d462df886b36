"""Samplers, step data, averages, and the small parts of a training."""

from __future__ import annotations

import pytest
import torch
from facemorph_toy import ToyNet, ToySteps, ToySystem
from hypothesis import given
from hypothesis import strategies as st

from facemorph.data.resumable import ResumableSampler, StepDataset, StepSampler, part_of_rank
from facemorph.errors import ConfigError, FacemorphError
from facemorph.ops.seeds import mix_seed
from facemorph.training.ema import EMA
from facemorph.training.exact_resume import random_state, set_random_state
from facemorph.training.run_card import make_record, system_name, training_key
from facemorph.training.session import explained_memory, metric_of


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4), st.integers(0, 3), st.data())
def test_ranks_share_every_batch_and_a_start_skips(items, per_rank, ranks, epoch, data):
    size = per_rank * ranks
    if size > items:
        with pytest.raises(ConfigError):
            ResumableSampler(items, size, num_ranks=ranks)
        return
    start = data.draw(st.integers(0, items // size))
    whole = list(ResumableSampler(items, size, epoch=epoch))
    parts = [
        list(ResumableSampler(items, size, rank=r, num_ranks=ranks, epoch=epoch, start=start))
        for r in range(ranks)
    ]
    assert len({i for batch in whole for i in batch}) == len(whole) * size
    for number, batch in enumerate(whole[start:]):
        assert sorted(batch) == sorted(i for part in parts for i in part[number])


def test_epochs_differ_and_repeat():
    sampler = ResumableSampler(20, 4, seed=1, start=2)
    assert len(sampler) == 5
    first = list(sampler)
    assert len(first) == 3
    sampler.set_epoch(0)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert len(list(sampler)) == 5
    assert (
        list(ResumableSampler(20, 4, seed=1, epoch=1))
        == list(sampler)
        != list(ResumableSampler(20, 4, epoch=1))
    )
    assert list(StepSampler(5, epoch=2, start=3)) == [13, 14]


def test_divisible_batches_only():
    with pytest.raises(ConfigError, match="batch_size"):
        ResumableSampler(20, 5, num_ranks=2)
    with pytest.raises(ConfigError):
        part_of_rank(torch.zeros(5), 0, 2)
    with pytest.raises(ConfigError):
        ToySteps(0)


def test_step_batches_depend_on_seed_and_step_only():
    def make(generator, step):
        return {
            "x": torch.rand(4, 2, generator=generator),
            "n": [torch.arange(4), "text"],
            "step": step,
        }

    data = StepDataset(make, seed=3)
    third = data[3]["x"]
    torch.rand(100)
    assert torch.equal(data[3]["x"], third)
    assert not torch.equal(data[4]["x"], third)
    parts = [StepDataset(make, 3, rank=r, num_ranks=2)[3] for r in range(2)]
    assert torch.equal(torch.stack([p["x"] for p in parts], 1).flatten(0, 1), third)
    assert parts[1]["n"][0].tolist() == [1, 3]
    assert parts[1]["n"][1] == "text"


def test_mixed_seeds_do_not_collide():
    assert len({mix_seed(a, b) for a in range(60) for b in range(60)}) == 3600


def test_random_state_round_trip():
    import random

    import numpy as np

    state = random_state()
    first = torch.rand(2), np.random.rand(2), random.random()
    set_random_state(state)
    second = torch.rand(2), np.random.rand(2), random.random()
    assert torch.equal(first[0], second[0])
    assert (first[1] == second[1]).all()
    assert first[2] == second[2]


@pytest.mark.parametrize("warm_up", [False, True])
def test_average_is_the_recursion(warm_up):
    system, ema = ToySystem(ToyNet()), EMA(["net"], decay=0.9, warm_up=warm_up)
    ema.on_fit_start(None, system)
    weight = system.net.layers[0].weight
    expected = weight.detach().clone()
    for n in range(1, 6):
        with torch.no_grad():
            weight.add_(1.0)
            system.net.calls.add_(1)
        ema.on_train_batch_end(None, system, None, None, 0)
        decay = min(0.9, (1 + n) / (10 + n)) if warm_up else 0.9
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(ema.averages["net.layers.0.weight"], expected)
    assert ema.averages["net.calls"] == 5
    assert not torch.allclose(weight, expected)


def test_average_of_a_part_that_is_not_there():
    with pytest.raises(ConfigError, match="Did you mean 'net'"):
        EMA(["nett"]).on_fit_start(None, ToySystem(ToyNet()))
    with pytest.raises(ConfigError):
        EMA(["net"], decay=1.0)


def test_record_is_plain_and_loads(tmp_path):
    from facemorph.storage.checkpoint import load_checkpoint, save_atomic

    config = {
        "system": {"_target_": "facemorph.systems.ifmorph.system.NeuralWarp"},
        "seed": 3,
        "data": {},
        "paths": {},
    }
    record = make_record(config)
    save_atomic(record, tmp_path / "r.pt")
    assert load_checkpoint(tmp_path / "r.pt") == record
    assert record["seed"] == 3
    assert record["versions"]["torch"]
    assert system_name(config) == "neural_warp"
    assert (
        training_key(config)
        == training_key(config | {"paths": {"output_dir": "x"}})
        != training_key(config | {"seed": 4})
    )


def test_out_of_memory_says_what_to_lower():
    with (
        pytest.raises(FacemorphError, match=r"out of memory.*data\.batch_size=64"),
        explained_memory({"data": {"batch_size": 64, "root": "x"}}),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(ValueError, match="other"), explained_memory({}):
        raise ValueError("other")


def test_metric_of():
    assert metric_of({"val/loss": torch.tensor(2.0)}, "val/loss") == 2.0
    assert metric_of({}, None) is None
    with pytest.raises(ConfigError, match="Did you mean"):
        metric_of({"val/loss": 1}, "val/los")
