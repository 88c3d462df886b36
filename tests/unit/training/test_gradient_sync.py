"""Systems that average their gradients themselves get no wrapper."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import DDPStrategy

from facemorph.training.gradient_sync import GradientSync, with_own_sync

OWN = "facemorph.training.gradient_sync.GradientSync"
DDP = "lightning.pytorch.strategies.DDPStrategy"
SYSTEM = SimpleNamespace(synchronizes_gradients=True)


@pytest.mark.parametrize("name", ["ddp", "ddp_find_unused_parameters_true"])
def test_names_of_ddp_become_its_own(name):
    found = with_own_sync({"strategy": name, "devices": 2}, SYSTEM)
    assert found == {"strategy": {"_target_": OWN}, "devices": 2}


def test_options_of_a_strategy_stay():
    given = {"strategy": {"_target_": DDP, "process_group_backend": "gloo"}}
    found = with_own_sync(given, SYSTEM)
    assert found["strategy"] == {"_target_": OWN, "process_group_backend": "gloo"}
    assert given["strategy"]["_target_"] == DDP


@pytest.mark.parametrize("trainer", [{}, {"strategy": "auto"}, {"strategy": "fsdp"}])
def test_everything_else_is_left_alone(trainer):
    assert with_own_sync(trainer, SYSTEM) == trainer
    assert with_own_sync({"strategy": "ddp"}, SimpleNamespace()) == {"strategy": "ddp"}


def test_the_strategy_can_be_built_from_a_config():
    from facemorph.config.build import build

    assert isinstance(build({"_target_": OWN, "process_group_backend": "gloo"}), GradientSync)
    assert issubclass(GradientSync, DDPStrategy)
