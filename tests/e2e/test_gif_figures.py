"""Figures, videos, transfer and components of a tiny generator."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from facemorph.apps.generation.evaluation.held_out_faces import Held
from facemorph.apps.generation.face_files import read_faces
from facemorph.apps.generation.figures import figure_sheets, figure_videos
from facemorph.apps.generation.figures.choices import FigureOptions
from facemorph.apps.generation.figures.deviation import deviating, people_and_directions
from facemorph.apps.generation.figures.figure_faces import (
    at_rest,
    between,
    chosen_people,
    exchanged,
    placed,
)
from facemorph.apps.generation.figures.teaser_rows import skin_of, teaser_rows
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.people_components import principal_components
from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.video_io import read_video
from facemorph.geometry.models.parameters import FaceParameters


@pytest.fixture(scope="module")
def generator(trained):
    return FaceGenerator.load(trained[1])


@pytest.fixture(scope="module")
def people(generator):
    return chosen_people(generator, 4, 0, 1.0, None)


@pytest.fixture(scope="module")
def recording(generator, tmp_path_factory):
    """Somebody who opens the mouth and turns, six frames."""
    neutral = FaceParameters.neutral(generator.model, 6)
    share = torch.tensor([0.0, 0.0, 0.3, 0.6, 0.3, 0.0])
    expression, rotation = neutral.expression.clone(), neutral.rotation.clone()
    expression[:, neutral.expression_names.index("jawOpen")] = share
    rotation[:, 1] = 0.4 * share
    path = tmp_path_factory.mktemp("recording") / "talk.npz"
    replace(neutral, expression=expression, rotation=rotation).save(path)
    return path


def picture_of(generator, faces):
    return torch.stack(list(generator.pictures(faces)))


def options(**given):
    usual = {"count": 2, "columns": 3, "frames": 4, "seed": 0, "spread": 1.0, "start": None}
    return FigureOptions(**{**usual, "size": None, "renders": False} | given, frames_per_second=24)


# ------------------------------------------------------------
# people
def test_a_path_ends_where_it_should_and_turns_the_shortest_way(people):
    one, other = people[0:2], people[2:4]
    for share, end in ((torch.zeros(2), one), (torch.ones(2), other)):
        found = between(one, other, share)
        torch.testing.assert_close(found.codes, end.codes)
        for name, value in found.parameters.tensors().items():
            torch.testing.assert_close(
                value, end.parameters.tensors()[name], atol=1e-5, rtol=1e-4, msg=name
            )
    share = torch.tensor([0.25, 0.7])
    found = between(one, other, share)
    torch.testing.assert_close(found.codes[0], torch.lerp(one.codes[0], other.codes[0], 0.25))
    for row in range(2):
        ends = [faces.parameters.rotation[row].double().numpy() for faces in (one, other)]
        wanted = Slerp([0, 1], Rotation.from_rotvec(ends))(float(share[row]))
        given = Rotation.from_rotvec(found.parameters.rotation[row].double().numpy())
        assert (wanted.inv() * given).magnitude() < 1e-5


def test_styles_are_carried_along(generator, people):
    styled = replace(people, added=torch.randn(4, *generator.small.addition_shape()))
    both = GeneratedFaces.joined([styled, people])
    assert torch.equal(both.added[:4], styled.added)
    assert not both.added[4:].any()
    half = between(styled, people, torch.full((4,), 0.5))
    torch.testing.assert_close(half.added, styled.added / 2)
    assert exchanged(styled, people, ["codes"]).added is None
    assert torch.equal(exchanged(people, styled, ["codes"]).added, styled.added)


def test_roles_end_in_the_target(generator, people):
    face, target = people[0:1], people[1:2]
    pictures = []
    for _, names in figure_sheets.ROLES:
        face = exchanged(face, target, names)
        pictures.append(picture_of(generator, placed(generator, face)))
    torch.testing.assert_close(pictures[-1], picture_of(generator, target), atol=1e-4, rtol=0)
    assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(pictures))


def test_rows_of_a_teaser_change_one_thing_each(generator, people):
    person = at_rest(people[0:1])
    rows = teaser_rows(generator.model, person, skin_of(generator))
    names = [row.name for row in rows]
    assert names[:3] == ["shape 1:", "shape 2:", "shape 3:"]
    assert {"mouthSmile", "browInnerUp", "yaw", "jawOpen", "lamp"} <= set(names)
    for row in rows:
        low, high = (row.change(value).parameters.tensors() for value in (row.low, row.high))
        moved = [name for name in low if not torch.equal(low[name], high[name])]
        assert len(moved) == 1, (row.name, moved)
    yaw = next(row for row in rows if row.name == "yaw").change(22.5).parameters.rotation
    assert float(yaw.norm()) == pytest.approx(math.pi / 8)
    skin = next(row for row in rows if row.name == "skin 2:").change(3.0).parameters.albedo
    model, place = generator.system.people, generator.system.people.sizes[0] + 1
    covariance = model.factor @ model.factor.T
    wanted = model.mean[place] + 3 * covariance[place, place].sqrt()
    assert float(skin[0, 1]) == pytest.approx(float(wanted), rel=1e-4)


# ------------------------------------------------------------
# sheets
def test_renders_are_those_of_the_pictures(generator, people):
    renders = figure_sheets.renders_of(generator, people)
    maps = generator.render(people.parameters)
    assert len(renders) == len(people)
    for render, one in zip(renders, maps, strict=True):
        inside, outside = one[6] > 0.999, one[6] < 0.001
        torch.testing.assert_close(render[:, inside], one[:3, inside], atol=2e-3, rtol=0)
        assert bool((render[:, outside] > 0.99).all())


def test_a_teaser_has_a_block_for_each_person(generator, monkeypatch):
    kept = []
    monkeypatch.setattr(
        figure_sheets, "drawn_table", lambda generator, table, *rest: kept.append(table)
    )
    figure_sheets.teaser(generator, options(count=2, columns=3))
    table = kept[0]
    half = len(table) // 2
    for first, second in zip(table[:half], table[half:], strict=True):
        assert [caption for caption, _ in first] == [caption for caption, _ in second]
        assert not torch.equal(first[0][1].codes, second[0][1].codes)
    captions = [row[1][0] for row in table[:half]]
    assert "yaw 0" in captions
    assert "lamp 0" in captions


@pytest.mark.parametrize(
    ("kind", "words", "cells"),
    [
        ("roles", ["--count", "2"], (7, 2)),
        ("roles", ["--count", "1", "--renders"], (7, 2)),
        ("teaser", ["--columns", "3"], (3, 11)),
        ("grid", ["--count", "3", "--columns", "4"], (4, 3)),
        ("mixing", ["--count", "1"], (6, 1)),
    ],
)
def test_sheets(trained, tmp_path, kind, words, cells):
    path = tmp_path / "figure.png"
    given = ["figure", kind, "-o", str(path), "--checkpoint", str(trained[1]), "--size", "32"]
    assert run([*given, *words]) == 0
    assert load_image(path).shape == (3, cells[1] * (32 + 22 + 6), cells[0] * (32 + 6))
    assert read_synthetic_tag(path)
    report = json.loads((tmp_path / "figure.json").read_text())
    assert report["kind"] == kind
    assert report["files"] == [str(path)]


def test_columns_of_a_grid_are_one_way_of_being_seen(generator, monkeypatch):
    kept = []
    monkeypatch.setattr(
        figure_sheets, "drawn_table", lambda generator, table, *rest: kept.append(table)
    )
    figure_sheets.grid(generator, options(count=3, columns=2))
    table = kept[0]
    for name in ("expression", "rotation", "light"):
        values = [[face.parameters.tensors()[name] for _, face in row] for row in table]
        assert all(torch.equal(row[0], values[0][0]) for row in values), name
        assert not torch.equal(values[0][0], values[0][1]), name
    assert all(torch.equal(row[0][1].codes, row[1][1].codes) for row in table)
    assert not torch.equal(table[0][0][1].codes, table[1][0][1].codes)


def test_an_addition_is_styles_and_skin(generator, people):
    """Both parts move the picture, and nothing added is nothing changed."""
    none = torch.zeros(4, *generator.small.addition_shape())
    torch.testing.assert_close(
        picture_of(generator, replace(people, added=none)), picture_of(generator, people)
    )
    for part in range(2):
        added = none.clone()
        generator.gif.parts_of(added)[part].fill_(0.3)
        moved = picture_of(generator, replace(people, added=added))
        assert (moved - picture_of(generator, people)).abs().mean() > 1e-3, part


def test_mixing_all_layers_is_the_other_style(generator, people, monkeypatch):
    kept = []
    monkeypatch.setattr(
        figure_sheets, "drawn_table", lambda generator, table, *rest: kept.append(table)
    )
    figure_sheets.mixing(generator, options(count=2))
    cells = [face for _, face in kept[0][0]]
    other = exchanged(cells[0], cells[-1], ["codes"])
    mixed, wanted = (picture_of(generator, one) for one in (cells[-2], other))
    torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=0)
    plain = picture_of(generator, cells[0])
    assert all((picture_of(generator, one) - plain).abs().max() > 1e-3 for one in cells[1:4])


# ------------------------------------------------------------
# videos
def test_interpolation_is_a_loop_through_the_people(trained, generator, tmp_path):
    words = ["figure", "interpolation", "--checkpoint", str(trained[1]), "--count", "3"]
    assert run([*words, "--frames", "4", "-o", str(tmp_path / "frames")]) == 0
    files = sorted((tmp_path / "frames").glob("frame_*.png"))
    assert len(files) == 12
    people = picture_of(generator, chosen_people(generator, 3, 0, 1.0, None))
    for number, person in enumerate(people):
        assert (load_image(files[4 * number]) - person).abs().max() < 0.01
    assert run([*words, "--columns", "4", "--frames", "2", "-o", str(tmp_path / "m.mp4")]) == 0
    frames = list(read_video(tmp_path / "m.mp4"))
    assert len(frames) == 6
    assert frames[0].shape == (32, 32, 3)
    assert (tmp_path / "m.sheet.png").is_file()


def test_speech_moves_mouth_and_head_but_not_the_picture(trained, generator, recording, tmp_path):
    words = ["figure", "speech", "--checkpoint", str(trained[1]), "--driving", str(recording)]
    assert run([*words, "--count", "2", "--fps", "12", "-o", str(tmp_path / "talk.mp4")]) == 0
    frames = list(read_video(tmp_path / "talk.mp4"))
    assert len(frames) == 6
    assert frames[0].shape == (16, 32, 3)
    person = at_rest(chosen_people(generator, 1, 0, 1.0, None))
    moved = figure_videos.driven(
        generator, placed(generator, person), FaceParameters.load(recording)
    )
    jaw = moved.parameters.expression[:, generator.model.expression_names.index("jawOpen")]
    torch.testing.assert_close(jaw, torch.tensor([0.0, 0.0, 0.3, 0.6, 0.3, 0.0]), atol=0.02, rtol=0)
    assert float(moved.parameters.rotation[3, 1]) == pytest.approx(0.24, abs=0.02)
    assert torch.equal(moved.parameters.log_size[2], moved.parameters.log_size[4])
    assert torch.equal(moved.codes[0], moved.codes[5])


def test_ones_own_expression_gives_way_to_the_recording(
    trained, generator, recording, tmp_path, monkeypatch
):
    words = ["sample", "--checkpoint", str(trained[1]), "-o", str(tmp_path), "--count", "1"]
    assert run([*words, "--set", "mouthSmile=0.8", "--yaw", "15"]) == 0
    kept = []
    monkeypatch.setattr(
        figure_videos, "_frames", lambda generator, faces, *rest: kept.append(faces)
    )
    figure_videos.speech(generator, options(start=tmp_path), recording)
    names, moved = generator.model.expression_names, kept[0].parameters
    assert not moved.expression[:, names.index("mouthSmileLeft")].any()
    assert float(moved.expression[3, names.index("jawOpen")]) == pytest.approx(0.6, abs=0.02)
    assert float(moved.rotation[0].norm()) == pytest.approx(math.radians(15), abs=0.02)


def test_people_of_a_folder(trained, recording, tmp_path):
    model = ["--checkpoint", str(trained[1])]
    assert run(["sample", *model, "-o", str(tmp_path / "a"), "--count", "2"]) == 0
    start = ["--from", str(tmp_path / "a"), *model]
    assert run(["figure", "roles", *start, "-o", str(tmp_path / "roles.png")]) == 0
    words = ["figure", "speech", *start, "--driving", str(recording)]
    assert run([*words, "-o", str(tmp_path / "talk.mp4")]) == 0
    assert next(iter(read_video(tmp_path / "talk.mp4"))).shape == (16, 32, 3)


# ------------------------------------------------------------
# curve
def test_deviation(trained, tmp_path):
    half, checkpoint = trained
    words = ["figure", "deviation", "--faces", str(half), "--checkpoint", str(checkpoint)]
    words += ["--features", "descriptor", "--count", "20", "--columns", "3"]
    assert run([*words, "-o", str(tmp_path / "curve.svg")]) == 0
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["deviation"]) for row in rows] == [0, 0.75, 1.5]
    assert all(float(row["frechet"]) > 0 for row in rows)
    report = json.loads((tmp_path / "curve.json").read_text())
    assert report["distances"]["pictures"] == 20
    assert report["distances"]["floor"] > 0
    assert "<polyline" in (tmp_path / "curve.svg").read_text()


def test_what_deviates(generator, people):
    empty = torch.zeros(4, 1)
    held = Held(torch.zeros(4, 3, 16, 16), empty, people.parameters, people.codes, empty[:, 0])
    drawn, directions = people_and_directions(generator, held, 0, 1.0)
    calm, far = (deviating(generator, drawn, directions, value) for value in (0.0, 1.5))
    assert not calm.parameters.identity.any()
    assert not calm.parameters.expression.any()
    torch.testing.assert_close(far.parameters.identity, 1.5 * directions[0])
    assert (
        0 <= float(far.parameters.expression.min()) <= float(far.parameters.expression.max()) <= 1
    )
    for name in ("albedo", "rotation", "light"):
        both = (one.parameters.tensors()[name] for one in (calm, far))
        assert torch.equal(*both), name


# ------------------------------------------------------------
# transfer, interpolate, pca
def test_transfer_takes_what_is_asked_for(trained, generator, tmp_path):
    model = ["--checkpoint", str(trained[1])]
    for seed, name in enumerate("abc"):
        words = ["sample", *model, "-o", str(tmp_path / name), "--count", "1"]
        assert run([*words, "--seed", str(seed)]) == 0
    words = ["transfer", "--expression", str(tmp_path / "a"), "--expression", str(tmp_path / "b")]
    words += ["--identity", str(tmp_path / "c"), *model, "--take", "expression", "--take", "light"]
    assert run([*words, "-o", str(tmp_path / "out")]) == 0
    a, b, c, out = (read_faces(tmp_path / name, generator) for name in ("a", "b", "c", "out"))
    assert len(out) == 2
    assert torch.equal(out.codes, c.codes.repeat(2, 1))
    found = out.parameters.tensors()
    for name, givers in (("expression", (a, b)), ("light", (a, b)), ("rotation", (c, c))):
        wanted = torch.cat([one.parameters.tensors()[name] for one in givers])
        assert torch.equal(found[name], wanted), name
    assert load_image(tmp_path / "out" / "transfer.png").shape == (3, 2 * 228, 3 * 206)


def test_interpolate_between_two_folders(trained, tmp_path):
    model = ["--checkpoint", str(trained[1])]
    for seed, name in enumerate("ab"):
        words = ["sample", *model, "-o", str(tmp_path / name), "--count", "1"]
        assert run([*words, "--seed", str(seed)]) == 0
    words = ["interpolate", str(tmp_path / "a"), str(tmp_path / "b"), *model, "--frames", "5"]
    assert run([*words, "-o", str(tmp_path / "frames"), "--size", "16"]) == 0
    files = sorted((tmp_path / "frames").glob("frame_*.png"))
    assert len(files) == 5
    for file, name in ((files[0], "a"), (files[-1], "b")):
        end = load_image(tmp_path / name / "face_001.png")
        assert (load_image(file) - end).abs().max() < 0.02
    report = json.loads((tmp_path / "frames.json").read_text())
    assert report["seconds_per_frame"] > 0


def test_components_of_people(trained, generator, tmp_path):
    words = ["pca", "--checkpoint", str(trained[1]), "-o", str(tmp_path), "--components", "2"]
    assert run([*words, "--columns", "3"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    people = generator.system.people
    numbers = np.load(tmp_path / "components.npz")
    covariance = (people.factor @ people.factor.T).double().numpy()
    code = int(people.sizes[0])
    for name, part in (("people", slice(None)), ("style", slice(0, code))):
        values, vectors = np.linalg.eigh(covariance[part, part])
        np.testing.assert_allclose(numbers[f"{name}_deviations"] ** 2, values[::-1][:2], rtol=1e-4)
        along = (numbers[f"{name}_directions"] * vectors.T[::-1][:2]).sum(1)
        np.testing.assert_allclose(np.abs(along), 1, atol=1e-3)
        shares = values[::-1][:2] / values.sum()
        assert report["explained"][name] == pytest.approx(shares.tolist(), abs=1e-3)
    assert load_image(tmp_path / "shape.png").shape == (3, 2 * 188, 3 * 166)
    every = principal_components(people, slice(None), 10**6)
    assert float(every.explained.sum()) == pytest.approx(1, abs=1e-4)


# ------------------------------------------------------------
# the paper's GIF
@pytest.fixture(scope="module")
def published(faces, tmp_path_factory):
    """A tiny one of the paper's, whose codes are random."""
    folder = tmp_path_factory.mktemp("published")
    words = ["train", "experiment=gif/full", "logger=none", f"data.folder={faces}"]
    words += ["data.size=16", "data.batch_size=4", "data.num_workers=0", "data.stored=true"]
    words += ["trainer.precision=32-true", "trainer.max_epochs=1"]
    words += ["callbacks.budget.max_images=8", f"paths.output_root={folder}"]
    words += ["system.generator.resolution=16", "system.generator.widths=[128,12]"]
    words += ["system.generator.style_size=16", "system.generator.mapping_layers=2"]
    words += ["system.generator.num_codes=40", "system.discriminator.widths=[128,12]"]
    assert run([*words, "system.discriminator.group=2"]) == 0
    return next(folder.rglob("last.ckpt"))


@pytest.mark.parametrize("kind", ["roles", "teaser", "grid", "interpolation"])
def test_figures_of_the_papers_generator(published, tmp_path, kind):
    path = tmp_path / ("x.mp4" if kind == "interpolation" else "x.png")
    words = ["figure", kind, "--checkpoint", str(published), "-o", str(path), "--count", "2"]
    assert run([*words, *(["--frames", "3"] if kind == "interpolation" else [])]) == 0
    assert path.is_file()
    if kind == "interpolation":
        assert len(list(read_video(path))) == 6


def test_skin_of_the_papers_people_is_standard_normal(published):
    generator = FaceGenerator.load(published)
    means, deviations = skin_of(generator)
    assert len(means) == generator.num_skin
    assert not means.any()
    assert bool((deviations == 1).all())


def test_what_the_papers_generator_has_not(published, tmp_path, capsys):
    model = ["--checkpoint", str(published)]
    for words in (
        ["figure", "mixing", "-o", str(tmp_path / "x.png")],
        ["pca", "-o", str(tmp_path / "pca")],
    ):
        assert run([*words, *model]) == 2
        assert "SmallGIF" in capsys.readouterr().err


# ------------------------------------------------------------
# bad input
def test_bad_words(trained, recording, tmp_path, capsys):
    model = ["--checkpoint", str(trained[1])]
    assert run(["sample", *model, "-o", str(tmp_path / "one"), "--count", "1"]) == 0
    one, picture = str(tmp_path / "one"), str(tmp_path / "x.png")
    for words, text in (
        (["figure", "hair", "-o", picture], "teaser"),
        (["figure", "grid", "-o", str(tmp_path / "x.mp4")], ".png"),
        (["figure", "speech", "-o", picture], ".mp4"),
        (["figure", "speech", "-o", str(tmp_path / "x.mp4")], "needs it"),
        (["figure", "deviation", "-o", str(tmp_path / "x.svg")], "needs it"),
        (["figure", "roles", "-o", picture, "--columns", "3"], "no such option"),
        (["figure", "grid", "-o", picture, "--frames", "3"], "no such option"),
        (["figure", "grid", "-o", picture, "--count", "0"], "1 to 100000"),
        (["figure", "roles", "-o", picture, "--from", one], "too few faces"),
        (["figure", "roles", "-o", picture, "--from", str(tmp_path)], "no generated faces"),
        (["transfer", "--expression", one, "--identity", one, "-o", one, "--take", "hair"], "pose"),
        (["interpolate", one, one, "-o", str(tmp_path / "x.png")], "kind of video"),
        (["interpolate", one, one, "-o", str(tmp_path / "x.mp4"), "--turn", "3"], "no such option"),
        (["pca", "-o", one, "--columns", "4"], "odd"),
    ):
        assert run([*words, *model]) == 2, words
        assert text in capsys.readouterr().err, words
    words = ["figure", "speech", "--driving", str(tmp_path / "one" / "codes.npz"), *model]
    assert run([*words, "-o", str(tmp_path / "x.mp4")]) == 2
    assert "Traceback" not in capsys.readouterr().err
