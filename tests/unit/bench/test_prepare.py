"""Rows of `facemorph bench prepare`; the figures themselves depend on the machine."""

from __future__ import annotations

from facemorph.apps.sets.synthetic_faces import SyntheticFaces, SynthOptions
from facemorph.bench import prepare
from facemorph.bench.prepare import pictures_a_second, scan_rows, synth_rows


def test_rows_and_their_bars(monkeypatch):
    asked = []
    monkeypatch.setattr(
        prepare, "pictures_a_second", lambda faces: asked.append(faces.options) or 60.0
    )
    monkeypatch.setattr(prepare, "SKINS", 1)
    rows = synth_rows()
    assert [row.bar for row in rows] == [">= 110", None, ">= 35", None, None]
    assert [row.ok for row in rows[:3]] == [False, None, True]
    assert [bool(one.labels) for one in asked] == [False, True, False, True]
    assert {one.size for one in asked} == {256}
    assert rows[-1].value > 0


def test_pictures_are_counted(monkeypatch):
    monkeypatch.setattr(prepare, "PICTURES", 2)
    monkeypatch.setattr(prepare, "ROUNDS", 2)
    written = []
    faces = SyntheticFaces(SynthOptions(size=32, texture=64, skins=1, supersample=1))
    real = faces.write
    monkeypatch.setattr(
        faces, "write", lambda index, folder: written.append(index) or real(index, folder)
    )
    assert pictures_a_second(faces) > 1
    assert written == [0, 1, 0, 1, 2, 3]  # the first round makes the skins


def test_scan_row():
    assert scan_rows()[0].value > 1
