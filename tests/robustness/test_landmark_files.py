"""Row 11 of the fault table: malformed landmark files are DataErrors that say where, whatever their
bytes.
"""

import json
import math
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemorph.errors import DataError, OutputError
from facemorph.faces.files.landmark_files import read_ifmorph_points, read_points, write_points
from facemorph.ops.frames import Frame

TEM = "3\n1\t2\n3.5\t4\n-5\t6e1\n2\n0\n2\n0 1\n1\n3\n0 1 2\n"
PTS = "version: 1\nn_points: 3\n{\n1 2\n3.5 4\n-5 6e1\n}\n"
JSON = '{"scheme": "points3", "points": [[1, 2], [3.5, 4], [-5, 60]]}'
CSV = "# scheme: points3\nx,y\n1,2\n3.5,4\n-5,60\n"
YAML = "loss:\n  sources: [[0.0, 0.5], [0.1, -0.2]]\n  targets: [[0.0, 0.25], [0.1, 0.2]]\n"
VALID = {".tem": TEM, ".pts": PTS, ".json": JSON, ".csv": CSV, ".yaml": YAML}


def read(path):
    return (
        read_ifmorph_points(path, Frame(100, 200)) if path.suffix == ".yaml" else read_points(path)
    )


def fails(tmp_path, suffix, text):
    path = tmp_path / f"points{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("suffix", "shift"), [(".tem", 0.5), (".pts", -0.5), (".json", 0.0), (".csv", 0.0)]
)
def test_valid_files_and_their_pixel_conventions(tmp_path, suffix, shift):
    path = tmp_path / f"points{suffix}"
    path.write_text(VALID[suffix])
    points, scheme = read_points(path)
    assert points.dtype == torch.float64
    assert scheme == "points3"
    assert (points - shift).tolist() == [[1, 2], [3.5, 4], [-5, 60]]


@pytest.mark.parametrize("suffix", [".tem", ".pts", ".json", ".csv"])
def test_windows_files_and_blank_lines(tmp_path, suffix):
    path = tmp_path / f"points{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + VALID[suffix].replace("\n", "\r\n\r\n").encode())
    assert len(read_points(path)[0]) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("abc\n", "line 1"),
        ("-3\n1 2\n", "line 1"),
        ("4\n1\t2\n3\t4\n", "points are missing"),
        ("99999999999999\n1 2\n", "line 1"),
        ("1\n1\t2\t3\n0\n", "line 2"),
        ("1\n1\tx\n0\n", "line 2"),
        ("1\nnan\t2\n0\n", "line 2"),
        ("1\n1\tinf\n0\n", "line 2"),
        ("0\n0\n", "no points"),
        ("1\n1 2\n2\n0\n1\n0\n", "line 3"),
        ("1\n1 2\n1\n0\n1\n7\n", "line 6"),
        ("1\n1 2\n1\n5\n1\n0\n", "line 4"),
        ("1\n1 2\n1\n0\n2\n0\n", "line 6"),
        ("1\n1 2\n1\n0\n1\n-1\n", "line 6"),
        ("1\n1 2\nx\n", "line 3"),
    ],
)
def test_malformed_tem(tmp_path, text, said):
    assert said in fails(tmp_path, ".tem", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "{ and }"),
        ("{\n1 2\n", "no line }"),
        ("}\n{\n", "no line }"),
        ("{\n}\n", "no points"),
        ("n_points: 2\n{\n1 2\n}\n", "n_points"),
        ("n_points: x\n{\n1 2\n}\n", "line 1"),
        ("{\n1\n}\n", "line 2"),
        ("{\n1 2 3\n}\n", "line 2"),
        ("{\n1 zwei\n}\n", "line 2"),
    ],
)
def test_malformed_pts(tmp_path, text, said):
    assert said in fails(tmp_path, ".pts", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1"),
        ("{\n\n[", "line 3"),
        ("3", "list of points"),
        ("null", "list of points"),
        ("[]", "no points"),
        ('{"points": 3}', "list of points"),
        ('{"points": [[1,2]], "scheme": 3}', "list of points"),
        ('{"points": [[1,2],[3]]}', "point 1"),
        ('{"points": [[1,2],7]}', "point 1"),
        ('{"points": [[1,null]]}', "point 0"),
        ('{"points": [[1,NaN]]}', "point 0"),
        ('{"points": [[1,true]]}', "point 0"),
        ('{"points": [[1,[2]]]}', "point 0"),
        ('{"points": [[1,1e400]]}', "point 0"),
        ('{"points": [[1,2]], "scheme": "ibug68"}', "expected 68"),
        ('{"points": [[1,' + "9" * 5000 + "]]}", "points.json"),
        ("[" * 100_000, "points.json"),
    ],
)
def test_malformed_json(tmp_path, text, said):
    assert said in fails(tmp_path, ".json", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no points"),
        ("x,y\n", "no points"),
        ("x,y\n1\n", "line 2"),
        ("a,b\n1,2\n", "line 1"),
        ("x,y\n1,2\nx,y\n", "line 3"),
        ("1,2,3\n", "line 1"),
        ('x,y\n"1,2\n', "points.csv"),
        ("# scheme: frll189\n1,2\n", "expected 189"),
    ],
)
def test_malformed_csv(tmp_path, text, said):
    assert said in fails(tmp_path, ".csv", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "experiment file"),
        ("loss: 3", "experiment file"),
        ("loss: {sources: [[0, 0]]}", "experiment file"),
        ("loss: {sources: [[0, 0]], targets: 5}", "list of points"),
        ("loss: {sources: [], targets: []}", "list of points"),
        ("loss: {sources: [[0, 0]], targets: [[0, 0], [0, 0]]}", "different numbers"),
        ("loss: {sources: [[0]], targets: [[0, 0]]}", "point 0"),
        ("- [0, a]", "point 0"),
        ("a: [1\nb", "line 2"),
        ("loss: {sources: absent.yaml, targets: [[0, 0]]}", "absent.yaml"),
        ("!!python/object/apply:os.system ['exit 1']", "not a YAML file"),
        ("2026-99-99: 1", "points.yaml"),
    ],
)
def test_malformed_yaml(tmp_path, text, said):
    path = tmp_path / "points.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read(path)
    assert said in str(caught.value)


def test_ifmorph_lists(tmp_path):
    (tmp_path / "list.yaml").write_text("[[-1, -1], [0, 0.5], [1, 1]]")
    points = read_ifmorph_points(tmp_path / "list.yaml", Frame(height=100, width=200))["points"]
    assert points.tolist() == [[0, 0], [150, 50], [200, 100]]  # (x, y) of (row, column)
    (tmp_path / "experiment.yaml").write_text(
        "loss: {sources: list.yaml, targets: [[0,0], [0,0], [0,0]]}"
    )
    both = read_ifmorph_points(tmp_path / "experiment.yaml", Frame(100, 200))
    assert torch.equal(both["sources"], points)
    assert both["targets"].tolist() == [[100, 50]] * 3


@pytest.mark.parametrize("suffix", sorted(VALID))
def test_missing_folder_binary_and_huge(tmp_path, suffix):
    with pytest.raises(DataError, match="not found"):
        read(tmp_path / f"absent{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / f"folder{suffix}")
    assert "UTF-8" in fails(tmp_path, suffix, b"\xff\xfd\x00\x01")
    path = tmp_path / f"huge{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse terabyte
    with pytest.raises(DataError, match="too large"):
        read(path)


def test_unknown_kinds(tmp_path):
    (tmp_path / "points.dat").write_bytes(b"\x80\x04")  # ifmorph's pickles, never read
    with pytest.raises(DataError, match="unknown kind"):
        read_points(tmp_path / "points.dat")
    with pytest.raises(DataError, match="unknown kind"):
        write_points(torch.rand(3, 2), tmp_path / "points.dat", "points3")


@pytest.mark.parametrize(
    "points", [torch.rand(3, 3), torch.rand(0, 2), torch.full((3, 2), math.nan), torch.rand(6)]
)
def test_writer_refuses(tmp_path, points):
    with pytest.raises(DataError, match="cannot be written"):
        write_points(points, tmp_path / "a.json", "points3")
    with pytest.raises(DataError, match="cannot be written"):
        write_points(torch.rand(67, 2), tmp_path / "a.json", "ibug68")
    assert not os.listdir(tmp_path)


def test_writer_makes_no_folders(tmp_path):
    with pytest.raises(OutputError, match="Create the folder"):
        write_points(torch.rand(3, 2), tmp_path / "new" / "a.json", "points3")


def test_lines_of_a_template_are_kept(tmp_path):
    (tmp_path / "a.tem").write_text(TEM)
    points, scheme = read_points(tmp_path / "a.tem")
    write_points(points + 1, tmp_path / "b.tem", scheme, lines_from=tmp_path / "a.tem")
    assert (tmp_path / "b.tem").read_text().splitlines()[4:] == TEM.splitlines()[4:]
    assert torch.equal(read_points(tmp_path / "b.tem")[0], points + 1)
    with pytest.raises(DataError, match="another number of points"):
        write_points(points[:2], tmp_path / "c.tem", "points2", lines_from=tmp_path / "a.tem")


def test_yaml_that_grows_without_end(tmp_path):
    levels = ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    text = "\n".join([*levels, "loss: {sources: *a11, targets: *a11}"])
    assert "point 0" in fails(tmp_path, ".yaml", text)


def reads_or_refuses(path, content):
    """A reader has two ways out: finite points, or a DataError."""
    path.write_bytes(content)
    try:
        result = read(path)
    except DataError:
        return
    for points in result.values() if isinstance(result, dict) else [result[0]]:
        assert points.shape[1] == 2
        assert len(points) > 0
        assert bool(torch.isfinite(points).all())


fuzz = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("suffix", sorted(VALID))
@fuzz
@given(content=st.binary(max_size=200))
def test_random_bytes(tmp_path, suffix, content):
    reads_or_refuses(tmp_path / f"fuzz{suffix}", content)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", sorted(VALID))
@fuzz
@given(data=st.data())
def test_mutations_of_valid_files(tmp_path, suffix, data):
    content = bytearray(VALID[suffix].encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [
                        b"\n",
                        b" ",
                        b"-",
                        b"9" * 400,
                        b"1e999",
                        b"nan",
                        b"{",
                        b"}",
                        b"[",
                        b"&a ",
                        b"*a",
                        b"\t",
                        b"\x00",
                        b"\xd9\xa3",
                    ]
                ),
            )
        )
        content[at : at + data.draw(st.integers(0, 4))] = piece
    reads_or_refuses(tmp_path / f"fuzz{suffix}", bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
@fuzz
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["points", "scheme", "loss", "sources", "targets"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_other_structures(tmp_path, suffix, content):
    reads_or_refuses(tmp_path / f"fuzz{suffix}", json.dumps(content).encode())
