"""Start-up of Lightning, trimesh and numba: what they import and facemorph hardly uses is loaded
when it is needed.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
from helpers import ROOT

from facemorph import lean_imports

MODEL = """
import sys
import facemorph
from facemorph.storage.checkpoint import load_system
from facemorph.systems.gdpw.small_system import SmallGDPW
assert isinstance(load_system("@open:gdpw"), SmallGDPW)
loaded = [name for name in sys.modules if name.startswith(("torch._dynamo", "scipy.signal"))]
assert "lightning.pytorch" in sys.modules and not loaded, loaded

import scipy
import torch
from lightning.pytorch.utilities.compile import OptimizedModule, from_compiled
assert "signal" not in vars(scipy) and "_dynamo" not in vars(torch)
layer = torch.nn.Linear(2, 2)
assert not isinstance(layer, OptimizedModule)
compiled = torch.compile(layer, backend="eager")
torch.testing.assert_close(compiled(torch.ones(1, 2)), layer(torch.ones(1, 2)))
assert isinstance(compiled, OptimizedModule) and isinstance(compiled, torch._dynamo.OptimizedModule)
import scipy.signal
assert len(scipy.signal.windows.hamming(5)) == 5
"""


MESH = """
import sys
import facemorph, torch
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes
corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
assert glb_bytes(Mesh(corners, faces))[:4] == b"glTF"
slow = ("networkx", "scipy.optimize", "scipy.spatial", "scipy.sparse", "scipy.ndimage")
loaded = [name for name in sys.modules if name.startswith(slow)]
assert "trimesh" in sys.modules and not loaded, loaded

import trimesh
assert len(trimesh.convex.convex_hull([*corners.tolist(), [0.1, 0.1, 0.1]]).vertices) == 4
flat = [[x, y, 0.0] for x in range(3) for y in range(3)]  # Qhull's error, caught: tried otherwise
assert trimesh.convex.convex_hull(flat).area > 7
whole = trimesh.Trimesh(corners.numpy(), faces.numpy(), process=False)
assert len(whole.vertex_adjacency_graph.edges) == 6
centre, radius, _ = trimesh.nsphere.fit_nsphere(whole.vertices)
assert abs(centre - 0.5).max() < 1e-6 and abs(radius - 0.75**0.5) < 1e-6
import networkx, scipy.optimize
assert isinstance(whole.vertex_adjacency_graph, networkx.Graph)
assert scipy.optimize.minimize(lambda x: x**2, [1.0]).success
assert whole.kdtree.query([[0.1, 0, 0]])[1] == [0]
assert sorted(map(len, trimesh.graph.connected_components(whole.face_adjacency))) == [4]
round_ = trimesh.creation.icosphere(2)
smaller = round_.copy()
trimesh.smoothing.filter_laplacian(smaller, implicit_time_integration=True, volume_constraint=False)
assert smaller.volume < round_.volume
assert round_.voxelized(0.5).fill().filled_count > 30
assert len(trimesh.sample.sample_surface_even(round_, 20, seed=0)[0]) > 10
"""


FIT = """
import sys
import facemorph, torch
from facemorph.apps.heads.fit_worker import load_model, turntable
head = load_model("makehuman")
turntable(head, head.mean[None], torch.full((3, 8, 8), 0.5), 16)
slow = ("scipy.optimize", "scipy.spatial", "scipy.sparse", "scipy.linalg", "scipy.ndimage")
loaded = [name for name in sys.modules if name.startswith(slow)]
assert "numba" in sys.modules and not loaded, loaded

import numba, numpy
product = numba.njit(lambda a, b: numpy.dot(a, b))
assert (product(numpy.eye(2), numpy.ones((2, 2))) == 1).all()
import scipy.linalg
assert scipy.linalg.solve(numpy.eye(2), numpy.ones(2)).sum() == 2
"""


@pytest.mark.parametrize("program", [MODEL, MESH, FIT], ids=["model", "mesh", "fit"])
def test_what_is_hardly_used_is_loaded_when_it_is_asked_for(program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Packages in the place of the slow ones, and what another version of Lightning may ask of them.
PACKAGES = {
    "slow/__init__.py": "",
    "slow/compiler.py": """
class OptimizedModule: pass
def disable(function, recursive, reason=None):
    return lambda value: (function(value), recursive, reason)
def explain(): pass
""",
    "slow/signal/__init__.py": "",
    "slow/signal/windows.py": "def hann(): pass",
}
COMPILER, SIGNAL = "slow.compiler", "slow.signal"


@pytest.fixture
def asking(tmp_path, monkeypatch):
    """Import a package with this content as Lightning is imported."""
    for name, content in PACKAGES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lean_imports, "COMPILER", COMPILER)
    monkeypatch.setattr(lean_imports, "SIGNAL", SIGNAL)
    monkeypatch.setattr(lean_imports, "TRAINERS", ("asking",))

    def found(content):
        (tmp_path / "asking.py").write_text(content)
        return importlib.import_module("asking")

    yield found
    for name in [name for name in sys.modules if name.split(".")[0] in ("slow", "asking")]:
        del sys.modules[name]


def is_real(name):
    return type(sys.modules.get(name)) is type(sys)


def test_what_is_there_needs_no_package(asking):
    module = asking(f"""
import {SIGNAL}
from {COMPILER} import OptimizedModule, disable
window = {SIGNAL}.hamming
@disable
def doubled(value):
    return 2 * value
stays = disable(doubled, False, reason="why")
seen = isinstance(1, OptimizedModule)
""")
    assert module.window is None
    assert module.seen is False
    assert not {COMPILER, SIGNAL} & sys.modules.keys()
    assert not {"compiler", "signal"} & vars(sys.modules["slow"]).keys()
    assert module.doubled.__name__ == "doubled"
    assert module.doubled(3) == (6, True, None)  # by the package, from the first call on
    assert module.stays(3) == ((6, True, None), False, "why")
    assert is_real(COMPILER)
    assert isinstance(sys.modules[COMPILER].OptimizedModule(), module.OptimizedModule)
    assert not isinstance(module, module.OptimizedModule)


@pytest.mark.parametrize(
    ("content", "package"),
    [
        (f"from {COMPILER} import explain as asked", COMPILER),
        (f"import {COMPILER}\nasked = {COMPILER}.explain", COMPILER),
        (f"from {SIGNAL}.windows import hann as asked", SIGNAL),
        (f"import {SIGNAL}.windows\nasked = {SIGNAL}.windows.hann", SIGNAL),
    ],
)
def test_a_version_that_asks_for_more_gets_the_package(asking, content, package):
    assert asking(content).asked.__module__.startswith(package)
    assert is_real(package)
    assert sys.modules[package] is vars(sys.modules["slow"])[package.rpartition(".")[2]]


def test_a_disabled_function_is_called_while_others_are_imported(asking):
    content = f"from {COMPILER} import disable\nfound = disable(lambda value: value + 1)(1)"
    assert asking(content).found == (2, True, None)
    assert is_real(COMPILER)


def test_a_package_that_is_loaded_is_left(asking):
    before = importlib.import_module(COMPILER)
    assert (
        asking(f"from {COMPILER} import OptimizedModule as asked").asked is before.OptimizedModule
    )
    assert sys.modules[COMPILER] is before


def test_what_is_missing_is_said(asking):
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        asking("import not_there")
    assert COMPILER not in sys.modules
