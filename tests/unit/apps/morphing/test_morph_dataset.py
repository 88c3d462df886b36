"""Morphs of a list of pairs: equal to single morphs, resumable, shared between shards and
processes.
"""

from __future__ import annotations

import json

import pytest
import torch

from facemorph import load_image, morph
from facemorph.apps.morphing.dataset.kept_faces import KeptFaces
from facemorph.apps.morphing.dataset_worker import DatasetWorker
from facemorph.apps.morphing.morph_dataset import morph_dataset
from facemorph.apps.morphing.morph_options import DatasetOptions, checked_options
from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.alignment import portrait_middle
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.faces.files.landmark_files import read_points, write_points
from facemorph.faces.files.pair_lists import read_pair_list
from facemorph.faces.pair import prepare_face, prepare_pair
from facemorph.jobs.pool import parse_shard
from facemorph.jobs.records import Records

pytestmark = pytest.mark.usefixtures("coarse_lattices")

SMALL = {"size": 64, "workers": 1}


@pytest.fixture(scope="module")
def people(samples, tmp_path_factory):
    """Three small photographs with landmark files, and a list of their pairs."""
    folder = tmp_path_factory.mktemp("people")
    for name, sample, flip in (
        ("ann", samples[0], False),
        ("bob", samples[1], False),
        ("cat", samples[1], True),
    ):
        face = prepare_face(sample, size=160)
        image = (0.8 * face.image).clamp(0, 1) if flip else face.image
        save_image(image, folder / f"{name}.png")
        write_points(face.points, folder / f"{name}.json", "ibug68")
    (folder / "pairs.txt").write_text("ann bob\nann cat\nbob cat\nbob bob\ncat bob\n")
    return folder


def make(people, output, **options):
    return morph_dataset(
        people / "pairs.txt", people, output, **{**SMALL, "points": str(people), **options}
    )


def test_every_pair_is_the_single_morph(people, tmp_path):
    report = make(people, tmp_path / "out", times=[0.25, 0.5])
    assert report["counts"] == {"done": 4, "failed": 0, "skipped": 1, "missing": 0}
    assert report == json.loads((tmp_path / "out/report.json").read_text())
    first = report["rows"][0]
    assert first["files"] == ["ann_bob_t0.250.png", "ann_bob_t0.500.png"]
    assert first["metrics"]["landmark_error_px"] < 5
    one = morph(
        people / "ann.png",
        people / "bob.png",
        size=64,
        points_a=people / "ann.json",
        points_b=people / "bob.json",
    )
    for time, file in zip((0.25, 0.5), first["files"], strict=True):
        written = load_image(tmp_path / "out" / file)
        assert float((written - one.frame(time)).abs().max()) <= 0.5 / 255 + 1e-6
        assert read_synthetic_tag(tmp_path / "out" / file)["synthetic"]


def test_a_second_call_makes_only_what_is_missing(people, tmp_path, monkeypatch):
    make(people, tmp_path)
    kept = (tmp_path / "ann_cat.png").stat().st_mtime_ns
    (tmp_path / "bob_cat.png").unlink()
    made = []
    plain = DatasetWorker.make
    monkeypatch.setattr(
        DatasetWorker, "make", lambda self, pair: made.append(pair.name) or plain(self, pair)
    )
    report = make(people, tmp_path)
    assert made == ["bob_cat"]
    assert report["counts"]["done"] == 4
    assert (tmp_path / "ann_cat.png").stat().st_mtime_ns == kept


def test_pairs_of_a_picture_that_changed_are_made_again(people, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for file in people.iterdir():
        if file.suffix in (".png", ".json", ".txt"):
            (images / file.name).write_bytes(file.read_bytes())
    make(images, tmp_path / "out")
    before = {path.stem: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    (images / "cat.png").write_bytes((people / "bob.png").read_bytes())
    make(images, tmp_path / "out")
    after = {path.stem: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    changed = {name for name, content in after.items() if content != before[name]}
    assert changed == {name for name in before if "cat" in name}


def test_processes_and_shards_make_the_same_files(people, tmp_path):
    make(people, tmp_path / "one")
    first = make(people, tmp_path / "shards", shard="0/2")
    assert first["counts"] == {"done": 3, "failed": 0, "skipped": 1, "missing": 1}
    second = make(people, tmp_path / "shards", shard="1/2")
    assert second["counts"] == {"done": 4, "failed": 0, "skipped": 1, "missing": 0}
    for file in (tmp_path / "one").glob("*.png"):
        assert (tmp_path / "shards" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_several_processes(people, tmp_path):
    lines = [f"{a} {b}" for a in ("ann", "bob", "cat") for b in ("ann", "bob", "cat") if a != b]
    names = [line.replace(" ", "_") for line in lines]
    for copy in ("x", "y"):  # 18 pairs: more than one chunk for each process
        for name in ("ann", "bob", "cat"):
            for suffix in (".png", ".json"):
                (people / f"{copy}{name}{suffix}").write_bytes(
                    (people / f"{name}{suffix}").read_bytes()
                )
        lines += [" ".join(f"{copy}{word}" for word in line.split()) for line in lines[:6]]
        names += [
            f"{copy}{one}_{copy}{two}" for one, two in (name.split("_") for name in names[:6])
        ]
    (people / "many.txt").write_text("\n".join(lines))
    report = morph_dataset(
        people / "many.txt", people, tmp_path, size=64, workers=2, points=str(people)
    )
    assert report["counts"]["done"] == 18
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(names)
    assert (tmp_path / "xann_xbob.png").read_bytes() == (tmp_path / "ann_bob.png").read_bytes()


def test_one_bad_picture_fails_its_pairs_only_and_is_tried_again(people, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for file in people.iterdir():
        (images / file.name).write_bytes(file.read_bytes())
    (images / "cat.png").write_bytes(b"\x89PNG, but no picture")
    report = make(images, tmp_path / "out")
    assert report["counts"] == {"done": 1, "failed": 3, "skipped": 1, "missing": 0}
    failed = [row for row in report["rows"] if row["status"] == "failed"]
    assert {row["error"] for row in failed} == {"ImageError"}
    assert all("cat.png" in row["reason"] for row in failed)
    (images / "cat.png").write_bytes((people / "cat.png").read_bytes())
    assert make(images, tmp_path / "out")["counts"]["done"] == 4


def test_a_bug_does_not_cost_the_other_pairs(people, tmp_path, monkeypatch):
    plain = DatasetWorker.fit

    def fit(self, pair):
        if torch.equal(pair.points_a, pair.points_b):
            return plain(self, pair)
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(DatasetWorker, "fit", fit)
    report = make(people, tmp_path)
    assert report["counts"]["done"] == 2  # bob and cat have the same landmarks
    row = report["rows"][0]
    assert row["status"] == "failed"
    assert "a bug of facemorph: oops" in row["reason"]
    assert "ZeroDivisionError" in row["traceback"]


def test_other_settings_need_another_folder(people, tmp_path):
    make(people, tmp_path)
    with pytest.raises(DataError, match="other settings") as caught:
        make(people, tmp_path, size=96)
    assert "size=64" in str(caught.value)
    assert "size=96" in str(caught.value)


def test_the_newest_record_counts_whichever_file_it_is_in(tmp_path):
    first, second = Records(tmp_path, 0, 2), Records(tmp_path, 1, 2)
    with first.only_writer(), second.only_writer():
        first.append({"name": "x", "status": "failed"})
        second.append({"name": "x", "status": "done"})
        first.append({"name": "y", "status": "done"})
    assert first.all()["x"]["status"] == "done"


def test_a_run_continues_from_another_folder(people, tmp_path, monkeypatch):
    monkeypatch.chdir(people)
    morph_dataset("pairs.txt", ".", tmp_path / "out", points=".", **SMALL)
    monkeypatch.chdir(tmp_path)
    report = morph_dataset(people / "pairs.txt", people, "out", points=str(people), **SMALL)
    assert report["counts"]["done"] == 4
    assert report["rows"][0]["a"] == str((people / "ann.png").resolve())


def test_two_processes_do_not_make_the_same_part(people, tmp_path):
    with Records(tmp_path, 0, 1).only_writer(), pytest.raises(OutputError, match="another process"):
        make(people, tmp_path)
    assert make(people, tmp_path)["counts"]["done"] == 4


def test_a_torn_record_is_made_again(people, tmp_path):
    make(people, tmp_path)
    path = tmp_path / "records.0-of-1.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    assert make(people, tmp_path)["counts"]["done"] == 4


def test_mixed_landmark_schemes_are_a_row_of_the_report(people, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for file in people.iterdir():
        (images / file.name).write_bytes(file.read_bytes())
    write_points(torch.rand(5, 2) * 100 + 20, images / "cat.json", "five")
    rows = {row["name"]: row for row in make(images, tmp_path / "out", align="none")["rows"]}
    assert rows["ann_bob"]["status"] == "done"
    assert rows["ann_cat"]["status"] == "failed"
    assert "ann.png" in rows["ann_cat"]["reason"]
    assert "cat.png" in rows["ann_cat"]["reason"]


def test_a_picture_without_a_face_or_landmark_file(people, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("ann", "bob"):
        (images / f"{name}.png").write_bytes((people / f"{name}.png").read_bytes())
    save_image(torch.rand(3, 96, 128), images / "noise.png")
    (images / "list.csv").write_text("a,b\nann,noise\nann,bob\n")
    report = morph_dataset(images / "list.csv", images, tmp_path / "out", **SMALL)
    assert [row["status"] for row in report["rows"]] == ["failed", "done"]
    assert report["rows"][0]["error"] == "NoFaceFound"
    missing = morph_dataset(
        images / "list.csv", images, tmp_path / "files", points=str(people), **SMALL
    )
    assert "noise" in missing["rows"][0]["reason"]
    assert "landmark file" in missing["rows"][0]["reason"]


def test_pictures_of_other_shapes(people, tmp_path):
    """The portrait cut makes them alike; whole pictures of different shapes are a failed row."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("ann", "bob"):
        for suffix in (".png", ".json"):
            (images / f"{name}{suffix}").write_bytes((people / f"{name}{suffix}").read_bytes())
    save_image(load_image(people / "bob.png")[:, :, 10:], images / "bob.png")
    (images / "pairs.txt").write_text("ann bob\n")
    assert make(images, tmp_path / "cut")["counts"]["done"] == 1
    row = make(images, tmp_path / "whole", align="none")["rows"][0]
    assert row["status"] == "failed"
    assert "different shapes" in row["reason"]


def test_faces_are_prepared_once(people, tmp_path, monkeypatch):
    prepared = []
    plain = KeptFaces._prepared
    monkeypatch.setattr(
        KeptFaces,
        "_prepared",
        lambda self, path: prepared.append(path.stem) or plain(self, path),
    )
    make(people, tmp_path)
    assert sorted(prepared) == ["ann", "bob", "cat"]


def test_the_kept_faces_have_a_limit(people, tmp_path, monkeypatch):
    monkeypatch.setattr("facemorph.apps.morphing.dataset.kept_faces.CACHE_BYTES", 1)
    worker = DatasetWorker(DatasetOptions(size=64, points=str(people)), tmp_path)
    for pair in read_pair_list(people / "pairs.txt", people):
        worker.make(pair)
        assert len(worker.kept) == 2


def test_a_tight_picture_decides_for_its_pairs(people, tmp_path):
    folder = tmp_path / "people"
    folder.mkdir()
    for name in ("ann", "bob"):
        for suffix in (".png", ".json"):
            (folder / f"{name}{suffix}").write_bytes((people / f"{name}{suffix}").read_bytes())
    image, (points, _) = load_image(people / "bob.png"), read_points(people / "bob.json")
    middle, reach = portrait_middle(points, "ibug68")
    left, top = (middle - reach).round().int().tolist()
    side = round(2 * reach)
    save_image(image[:, top : top + side, left : left + side], folder / "tight.png")
    write_points(points - torch.tensor([left, top]), folder / "tight.json", "ibug68")
    (folder / "pairs.txt").write_text("ann bob\nann tight\ntight ann\n")
    report = morph_dataset(
        folder / "pairs.txt", folder, tmp_path / "out", points=str(folder), **SMALL
    )
    warned = ["tight.png is cut too tightly" in str(row.get("warnings")) for row in report["rows"]]
    assert warned == [False, True, True]
    worker = DatasetWorker(DatasetOptions(size=64, points=str(folder)), tmp_path)
    for pair in read_pair_list(folder / "pairs.txt", folder):
        faces = worker.faces(pair)
        sizes = [portrait_middle(one, "ibug68")[1] for one in (faces.points_a, faces.points_b)]
        assert max(sizes) < 1.04 * min(sizes)
    one = morph(
        folder / "ann.png",
        folder / "tight.png",
        size=64,
        time=0.5,
        points_a=folder / "ann.json",
        points_b=folder / "tight.json",
    )
    made = load_image(tmp_path / "out/ann_tight.png")
    assert float((one.frame(0.5) - made).abs().max()) < 0.02


@pytest.mark.slow
def test_pairs_fitted_together_are_the_same(people, tmp_path, monkeypatch):
    """What a GPU does, on the CPU; the pair that cannot be fitted fails alone, with its reason."""
    write_points(torch.rand(68, 2) * 160, people / "dan.json", "ibug68")  # no face at all
    (people / "dan.png").write_bytes((people / "cat.png").read_bytes())
    (people / "five.txt").write_text("ann bob\nann dan\nbob cat\ncat ann\n")
    options = {"points": str(people), "align": "none", **SMALL}
    alone = morph_dataset(people / "five.txt", people, tmp_path / "alone", **options)
    monkeypatch.setattr(DatasetWorker, "batched", True)
    together = morph_dataset(people / "five.txt", people, tmp_path / "together", **options)
    assert [row["status"] for row in together["rows"]] == [row["status"] for row in alone["rows"]]
    assert together["counts"]["done"] >= 3
    for row in together["rows"]:
        if row["status"] == "done":
            one, two = (
                load_image(tmp_path / name / row["files"][0]) for name in ("alone", "together")
            )
            assert float((one - two).abs().max()) <= 1.01 / 255


@pytest.mark.slow
@pytest.mark.parametrize(
    ("warp", "stacked"), [("siren_residual", True), ("neural_ode", True), ("conjugate_flow", False)]
)
def test_trained_warps_are_trained_as_one_stack(people, tmp_path, monkeypatch, warp, stacked):
    """Each equals the single training, and a picture without landmarks fails its pairs only."""
    from facemorph.apps.morphing import dataset_worker, warp_fitting

    assert (warp in warp_fitting.STACKED) == stacked
    stacks, plain_stack = [], warp_fitting.fit_stack

    def counted(pairs, *args, **options):
        stacks.append(plain_stack(pairs, *args, **options))
        return stacks[-1]

    monkeypatch.setattr(dataset_worker, "fit_stack", counted)

    plain = warp_fitting.warp_config

    def short(name, smoothing=0.0, experiment=None):
        config = plain(name, smoothing, experiment)
        config["trainer"]["max_epochs"], config["data"]["steps_per_epoch"] = 1, 5
        return config

    monkeypatch.setattr(warp_fitting, "warp_config", short)
    (people / "four.txt").write_text("ann bob\nann missing.png\nann cat\n")
    report = morph_dataset(
        people / "four.txt", people, tmp_path, points=str(people), warp=warp, **SMALL
    )
    assert [row["status"] for row in report["rows"]] == ["done", "failed", "done"]
    assert [len(stack) for stack in stacks] == ([2] if stacked else [])
    pair = prepare_pair(
        people / "ann.png",
        people / "cat.png",
        size=64,
        points_a=people / "ann.json",
        points_b=people / "cat.json",
    )
    alone = warp_fitting.fit_warp(pair, warp).render(0.5)
    difference = (load_image(tmp_path / "ann_cat.png") - alone).abs()
    assert float(difference.max()) < 2 / 255


def test_blends_and_masks_are_those_of_the_single_morph(people, tmp_path):
    (people / "one.txt").write_text("ann bob\n")
    morph_dataset(
        people / "one.txt",
        people,
        tmp_path,
        points=str(people),
        blend="poisson_mix",
        mask="lower_face",
        outside="target",
        **SMALL,
    )
    one = morph(
        people / "ann.png",
        people / "bob.png",
        size=64,
        points_a=people / "ann.json",
        points_b=people / "bob.json",
        blend="poisson_mix",
        mask="lower_face",
        outside="target",
    )
    assert (
        float((load_image(tmp_path / "ann_bob.png") - one.frame(0.5)).abs().max())
        <= 0.5 / 255 + 1e-6
    )
    with pytest.raises(ConfigError, match="mask"):
        morph_dataset(people / "one.txt", people, tmp_path / "x", mask="nose", **SMALL)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"warp": "nothing"}, "warp"),
        ({"blend": "nothing"}, "blend"),
        ({"outside": "nothing"}, "outside"),
        ({"times": [1.5]}, "times"),
        ({"times": []}, "times"),
        ({"times": [0.5, 0.5001]}, "times"),
        ({"align": "nothing"}, "align"),
        ({"detector": "nothing"}, "detector"),
        ({"suffix": "gif"}, "suffix"),
        ({"size": 3}, "size"),
        ({"points": "/nowhere"}, "points"),
        ({"colour": 1}, "colour"),
        ({"smoothing": float("nan")}, "smoothing"),
        ({"smoothing": -1.0}, "smoothing"),
        ({"min_score": float("nan")}, "min_score"),
        ({"size": "large"}, "size"),
        ({"smoothing": "x"}, "smoothing"),
        ({"times": 0.5}, "times"),
        ({"times": ["x"]}, "times"),
        ({"quality": "no"}, "quality"),
        ({"points": 5}, "points"),
    ],
)
def test_wrong_options(options, key):
    with pytest.raises(ConfigError) as caught:
        checked_options(options)
    assert str(caught.value.where) == key


@pytest.mark.parametrize("text", ["2/2", "a/b", "1", "", "-1/2", "1/0", "0/2/3"])
def test_wrong_shards(text):
    with pytest.raises(ConfigError, match="K/N"):
        parse_shard(text)


def test_wrong_numbers_of_processes_and_devices(people, tmp_path):
    with pytest.raises(ConfigError, match="workers"):
        make(people, tmp_path, workers=0)
    with pytest.raises(ConfigError, match="device"):
        make(people, tmp_path, device="tpu")


@pytest.mark.parametrize("text", ["[]", "[1]", "3", "null"])
def test_settings_that_are_none(people, tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(DataError, match="settings"):
        make(people, tmp_path)


def test_a_missing_picture_is_named_as_such(people, tmp_path):
    (tmp_path / "list.txt").write_text("ann nobody.png\n")
    report = morph_dataset(
        tmp_path / "list.txt", people, tmp_path / "out", points=str(people), **SMALL
    )
    assert "nobody.png: there is no such picture" in report["rows"][0]["reason"]


def test_a_full_disk_and_a_file_system_without_locks(tmp_path, monkeypatch):
    records = Records(tmp_path)
    with records.only_writer(), monkeypatch.context() as patched:

        class Full:
            def write(self, content):
                raise OSError(28, "No space left on device")

        patched.setattr(records, "_file", Full())
        with pytest.raises(OutputError, match="Make room"):
            records.append({"name": "a"})

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OutputError, match="cannot lock"), Records(tmp_path).only_writer():
        pass


def test_the_report_is_locked_as_nfs_needs_it(people, tmp_path, monkeypatch):
    """NFS gives an exclusive lock only of a file that is open for writing."""
    import fcntl

    modes, plain = [], fcntl.flock
    monkeypatch.setattr(
        "fcntl.flock", lambda file, how: (modes.append(file.mode), plain(file, how))[1]
    )
    make(people, tmp_path)
    assert len(modes) == 2
    assert all("+" in mode for mode in modes)


def test_one_pair_that_spoils_a_stack_fails_alone(people, tmp_path, monkeypatch):
    from facemorph.apps.morphing import dataset_worker
    from facemorph.errors import FacemorphError

    sizes = []

    def stack(pairs, warp, device="cpu"):
        sizes.append(len(pairs))
        raise FacemorphError("diverged")

    def alone(pair, warp, device="cpu"):
        sizes.append(1)
        if len(sizes) == 3:  # the second pair
            raise FacemorphError("diverged")
        return DatasetWorker(DatasetOptions(size=64), tmp_path).fit(pair)

    monkeypatch.setattr(dataset_worker, "fit_stack", stack)
    monkeypatch.setattr(dataset_worker, "fit_warp", alone)
    (tmp_path / "list.txt").write_text("ann bob\nann cat\n")
    report = morph_dataset(
        tmp_path / "list.txt",
        people,
        tmp_path / "out",
        points=str(people),
        warp="siren_residual",
        **SMALL,
    )
    assert [row["status"] for row in report["rows"]] == ["done", "failed"]
    assert report["rows"][1]["reason"] == "diverged"
    assert sizes == [2, 1, 1]
