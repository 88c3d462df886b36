"""Shared fixtures: no network, one torch thread, fixed seeds, and the data that only developers
have.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from pathlib import Path

import omegaconf
import pytest
import torch
from helpers import forked
from helpers.remembered import remembering, remembering_yaml
from hypothesis import settings

from facemorph.faces.embedded_networks import (
    BlazeFaceShortRange,
    FaceDescriptorNet,
    LandmarkNet68,
)
from facemorph.fields.warps.conjugate_flow import NeuralConjugateFlow
from facemorph.fields.warps.neural_ode import NeuralODEWarp
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.jobs import pool
from facemorph.systems.imface import correspondence

# Time depends on what else the machine does; a test that is slow for good runs into pytest's own
# limit.
settings.register_profile("facemorph", deadline=None)
settings.load_profile("facemorph")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


# What is imported and collected stays: the garbage collector need not look at it each time, which
# took an eighth of the time of composing a config.
gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def one_server():
    """Pools fork their processes from the server that commands are forked from, which has imported
    everything: see `tests.support.helpers.forked`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool.CONTEXT, "set_forkserver_preload", forked.start_server)
        yield


@pytest.fixture(scope="session", autouse=True)
def remembered():
    """What the embedded networks say of an input that they have seen: hundreds of tests look for
    the faces of the same few photographs, and read the same config files.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omegaconf.omegaconf, "yaml", remembering_yaml())
        for network in (BlazeFaceShortRange, LandmarkNet68, FaceDescriptorNet):
            patch.setattr(network, "forward", remembering(network.forward))
        yield


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def ctrl_c():
    """As in a terminal, wherever the tests run: in the background shells ignore it, and a test that
    leaves the system's own handler would let the next Ctrl-C end the process.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Only local sockets (DDP's gloo) may connect."""
    real = socket.socket.connect

    def connect(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise OSError(f"the tests have no network: {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setitem(os.environ, "WANDB_MODE", "offline")


@pytest.fixture
def short_reports(monkeypatch):
    """A morph's page shows three frames where the morph has none of its own, instead of 25, and a
    chain's as many instead of 13: most of the time that a small still takes.
    """
    for module in ("morph_result", "chain_result"):
        monkeypatch.setattr(f"facemorph.apps.morphing.{module}.REPORT_FRAMES", 3)


@pytest.fixture
def coarse_lattices(monkeypatch):
    """Maps of neural warps from 33 nodes a side instead of 65 or 129: most of the time of a morph
    with one that hardly any time was trained.
    """
    for warp in (SirenWarp, ResidualSirenWarp, NeuralODEWarp, NeuralConjugateFlow):
        monkeypatch.setattr(warp, "lattice_nodes", 33)


@pytest.fixture(scope="module")
def coarse_flows():
    """Likewise for thin-plate flows, where a file's tests morph in this process alone."""
    *others, _ = ThinPlateFlow.__init__.__defaults__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThinPlateFlow.__init__, "__defaults__", (*others, 33))
        yield


@pytest.fixture(scope="module")
def few_newton_steps():
    """On an ImFace that has hardly been trained some places of the template are on no face, and
    Newton's method would look for them to its last step.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correspondence, "STEPS", 16)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def samples() -> tuple[Path, Path]:
    """The two committed photographs."""
    return ROOT / "data/sample/sample_collins.png", ROOT / "data/sample/sample_hopper.png"


@pytest.fixture(scope="session")
def frll() -> Path:
    """Face Research Lab London Set; only where the developers' shared folder is."""
    folder = SHARED / "frll"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/frll (CC-BY 4.0, not committed)")
    return folder
