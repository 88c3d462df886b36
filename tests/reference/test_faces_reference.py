"""Faces against independent computations: OpenCV, Pillow, the published templates, and
photographs.
"""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import SimilarityTransform

from facemorph.bench.photographs import faces
from facemorph.bench.photographs.faces import identity_auc_on_frll, landmark_error_on_frll
from facemorph.errors import DataError
from facemorph.faces.alignment import crop, ffhq_quad, fit_similarity, square_crop_matrix
from facemorph.faces.detection import EmbeddedDetector, find_face
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.faces.files.landmark_files import read_points, write_points
from facemorph.faces.identity import chip_matrix
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.masks import convex_hull_mask
from facemorph.ops.frames import Frame


@pytest.fixture(scope="module", autouse=True)
def detected_once():
    """A photograph's faces are looked for once: four tests want those of the same people."""
    detector, found = EmbeddedDetector(), {}

    def detect(image):
        key = hash(image.numpy().tobytes())
        if key not in found:
            found[key] = detector(image)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "EmbeddedDetector", lambda: detect)
        yield


@pytest.fixture(scope="module")
def hopper(request):
    return load_image(request.config.rootpath / "data/sample/sample_hopper.png")


def test_similarity_against_scikit_image():
    source, target = torch.rand(2, 20, 2, dtype=torch.float64)
    expected = SimilarityTransform.from_estimate(source.numpy(), target.numpy()).params[:2]
    np.testing.assert_allclose(fit_similarity(source, target).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 0.35])
def test_crop_against_opencv(hopper, angle):
    """OpenCV counts from 0 at pixel centres and interpolates with 5 bits, hence the tolerance."""
    size = 150
    matrix = square_crop_matrix(torch.tensor([260.0, 240.0]), 160.0, angle, size).double().numpy()
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    array = hopper.permute(1, 2, 0).numpy()
    expected = cv2.warpAffine(
        array, shifted, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    found = crop(hopper, torch.from_numpy(matrix), size).permute(1, 2, 0).numpy()
    assert np.abs(found - expected).mean() < 2e-3
    assert np.abs(found - expected).max() < 0.05


@pytest.mark.parametrize("size", [(100, 120), (333, 64), (700, 900)])
def test_resize_is_pillows_bicubic(hopper, size):
    expected = np.stack(
        [
            np.asarray(
                Image.fromarray(channel.numpy()).resize(size[::-1], Image.Resampling.BICUBIC)
            )
            for channel in hopper
        ]
    )
    np.testing.assert_allclose(resize_image(hopper, size).numpy(), expected.clip(0, 1), atol=1e-4)


def test_ffhq_quad_against_its_published_formula():
    marks = np.random.default_rng(3).normal(size=(68, 2)) * 5
    marks[36:42] += [40, 50]
    marks[42:48] += [80, 55]
    marks[48:60] += [58, 100]
    left, right = marks[36:42].mean(0), marks[42:48].mean(0)
    eyes, eye_to_eye = (left + right) * 0.5, right - left
    mouth = (marks[48] + marks[54]) * 0.5
    eye_to_mouth = mouth - eyes
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    center, axis = ffhq_quad(torch.from_numpy(marks), "ibug68")
    np.testing.assert_allclose(center.numpy(), eyes + eye_to_mouth * 0.1, atol=1e-9)
    np.testing.assert_allclose(axis.numpy(), x, atol=1e-9)


def test_hull_mask_against_opencv():
    points = torch.rand(15, 2) * 80 + 10
    found = convex_hull_mask(points, Frame(100, 100), feather=0)[0].numpy()
    hull = cv2.convexHull((points.numpy() - 0.5).astype(np.float32))
    expected = np.zeros((100, 100), np.uint8)
    cv2.fillConvexPoly(expected, np.round(hull * 16).astype(np.int32), 1, shift=4)
    different = found != expected
    border = cv2.dilate(expected, np.ones((3, 3))) - cv2.erode(expected, np.ones((3, 3)))
    assert not different[border == 0].any()


def test_identity_chip_puts_dlibs_template_where_dlib_does(hopper):
    """dlib, size 150 and padding 0.25, counts pixels from 0 at their centres."""
    points = find_face(hopper).points
    matrix = chip_matrix(points)
    ours = fit_similarity(
        points[[45, 42, 36, 39, 33]] - 0.5,
        (
            torch.tensor(
                [
                    [0.8595674595992, 0.2134981538014],
                    [0.6460604764104, 0.2289674387677],
                    [0.1205750620789, 0.2137274526848],
                    [0.3340850613712, 0.2290642403242],
                    [0.4901123135679, 0.6277975316475],
                ]
            )
            + 0.25
        )
        / 1.5
        * 150,
    )
    eye = points[45] - 0.5
    from_dlib = ours[:, :2] @ eye + ours[:, 2] + 0.5
    back = matrix[:, :2] @ from_dlib + matrix[:, 2]
    # the two directions of a fit differ by its residual
    assert float((back - points[45]).norm()) < 2.5


# ------------------------------------------------------------ photographs
# of FRLL
def test_templates_read_and_convert_as_published(frll):
    stored = np.load(frll / "landmarks.npz", allow_pickle=False)
    for index in (0, 50, 101):
        points, scheme = read_points(frll / f"neutral/{stored['ids'][index]}_03.tem")
        assert scheme == "frll189"
        # the array counts from 0 at pixel centres, as the templates do
        np.testing.assert_allclose(points.numpy() - 0.5, stored["tem189_neutral"][index], atol=1e-3)
        np.testing.assert_allclose(
            to_ibug68(points, scheme).numpy() - 0.5, stored["tem68_neutral"][index], atol=1e-3
        )


def test_templates_are_written_as_they_were(frll, tmp_path):
    original = frll / "neutral/001_03.tem"
    points, scheme = read_points(original)
    write_points(points, tmp_path / "copy.tem", scheme, lines_from=original)
    assert (tmp_path / "copy.tem").read_text().split() == original.read_text().split()


@pytest.mark.slow
def test_landmarks_on_a_dozen_people(frll):
    result = landmark_error_on_frll(frll, limit=12)
    assert result["faces_found"] == result["total"] == 24
    assert result["raw_percent"] <= 5.4
    assert result["bias_removed_percent"] <= 4.0  # six people to learn the offset from


@pytest.mark.slow
def test_identity_on_a_dozen_people(frll):
    result = identity_auc_on_frll(frll, limit=12)
    assert result["auc"] == 1
    assert result["rank1_percent"] == 100
    assert result["same_max"] < 0.5


@pytest.mark.slow
def test_landmarks_on_everybody(frll):
    result = landmark_error_on_frll(frll)
    assert result["faces_found"] == result["total"] == 204
    assert result["raw_percent"] <= 5.4
    assert result["bias_removed_percent"] <= 3.2


@pytest.mark.slow
def test_identity_on_everybody(frll):
    assert identity_auc_on_frll(frll)["auc"] >= 0.999


def test_bench_without_data(tmp_path):
    for function in (landmark_error_on_frll, identity_auc_on_frll):
        with pytest.raises(DataError, match="FRLL not found"):
            function(tmp_path)
