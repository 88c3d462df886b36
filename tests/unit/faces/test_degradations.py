"""Printing, scanning and compressing."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from facemorph import cli, load_image
from facemorph.errors import ConfigError
from facemorph.faces.degradations import PASSPORT_BYTES, jpeg, jpeg2000, print_scan


@pytest.fixture(scope="module")
def photograph(samples):
    return load_image(samples[0])


def psnr(a, b):
    return float(-10 * (a - b).square().mean().log10())


@pytest.mark.parametrize("size", [PASSPORT_BYTES, 6000, 200_000])
def test_jpeg2000_keeps_to_the_size(photograph, size):
    picture, content = jpeg2000(photograph, size)
    assert size / 2 < len(content) <= size or len(content) < size == 200_000
    assert Image.open(io.BytesIO(content)).format == "JPEG2000"
    assert picture.shape == photograph.shape
    assert psnr(picture, photograph) > {PASSPORT_BYTES: 27, 6000: 23, 200_000: 38}[size]


def test_smaller_files_are_worse(photograph):
    assert psnr(jpeg2000(photograph, 5000)[0], photograph) < psnr(
        jpeg2000(photograph, 20_000)[0], photograph
    )
    assert psnr(jpeg(photograph, 20)[0], photograph) < psnr(jpeg(photograph, 90)[0], photograph)


def test_a_size_that_cannot_be_reached(photograph):
    with pytest.raises(ConfigError, match="so small"):
        jpeg2000(photograph, 20)


def test_print_and_scan_repeat_with_the_seed(photograph):
    first = print_scan(photograph, seed=3)
    assert torch.equal(first, print_scan(photograph, seed=3))
    assert not torch.equal(first, print_scan(photograph, seed=4))
    assert first.shape == photograph.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert 15 < psnr(first, photograph) < 32


def test_print_and_scan_grow_with_the_strength(photograph):
    losses = [
        psnr(print_scan(photograph, strength=strength), photograph) for strength in (0, 0.5, 1, 2)
    ]
    assert losses == sorted(losses, reverse=True)
    untouched = print_scan(photograph, strength=0, print_pixels=4096)
    assert float((untouched - photograph).abs().max()) < 1e-6


@pytest.mark.parametrize("options", [{"print_pixels": 10}, {"strength": -1}, {"strength": 9}])
def test_wrong_print_options(photograph, options):
    with pytest.raises(ConfigError, match="print"):
        print_scan(photograph, **options)


def test_the_command(samples, tmp_path, capfd):
    (tmp_path / "in").mkdir()
    for sample in samples:
        (tmp_path / "in" / sample.name).write_bytes(sample.read_bytes())
    (tmp_path / "in/bad.jpg").write_bytes(b"no picture")
    words = [
        "degrade",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--print-scan",
        "--jpeg2000",
        "15000",
    ]
    assert cli.run(words) == 3
    assert "2 done, 1 failed" in capfd.readouterr().out
    for sample in samples:
        assert (tmp_path / "out" / f"{sample.stem}.jp2").stat().st_size <= 15000
        assert load_image(tmp_path / "out" / f"{sample.stem}.png").shape == load_image(sample).shape
    assert cli.run(["degrade", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 2
    assert cli.run([*words[:2], "-o", str(tmp_path / "in"), "--jpeg", "50"]) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--jpeg2000", "0"], "jpeg2000"),
        (["--jpeg2000", "-5"], "jpeg2000"),
        (["--jpeg", "0"], "jpeg"),
        (["--print-scan", "--strength", "nan"], "print_scan"),
        (["--print-scan", "--seed", str(10**20)], "seed"),
    ],
)
def test_wrong_options_are_refused_before_any_picture(samples, tmp_path, capfd, words, says):
    assert cli.run(["degrade", str(samples[0]), "-o", str(tmp_path / "out"), *words]) == 2
    assert f"{says}: unusable" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_pictures_of_one_name_do_not_overwrite_each_other(samples, tmp_path, capfd):
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(samples[0].read_bytes())
    assert cli.run(["degrade", str(tmp_path), "-o", str(tmp_path / "out"), "--jpeg", "50"]) == 2
    assert "one result" in capfd.readouterr().err
