"""Lists of pairs: what a line may be, and what is left out."""

from __future__ import annotations

import pytest

from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.pair_lists import points_of, read_pair_list


@pytest.fixture
def listed(tmp_path):
    for name in ("one.jpg", "two.png", "three.JPG"):
        (tmp_path / name).touch()

    def read(text, **options):
        path = tmp_path / "pairs.txt"
        path.write_text(text, encoding="utf-8")
        return read_pair_list(path, tmp_path, **options)

    return read


@pytest.mark.parametrize(
    "line",
    [
        "one.jpg two.png",
        "one.jpg\ttwo.png",
        "one.jpg, two.png",
        "one.jpg;two.png",
        " one.jpg   two.png  # a remark",
        "one two",
        "a,b\none.jpg,two.png",
        "\ufeffone.jpg two.png",
        "source target\n\none two\n",
    ],
)
def test_ways_to_write_a_pair(listed, line, tmp_path):
    (pair,) = listed(line)
    assert (pair.name, pair.a, pair.b, pair.skip) == (
        "one_two",
        tmp_path / "one.jpg",
        tmp_path / "two.png",
        None,
    )


def test_self_pairs_and_duplicates_are_skipped_with_the_reason(listed):
    pairs = listed("one two\none one\ntwo one\none.jpg two.png\n")
    assert [pair.skip for pair in pairs] == [None, "self-pair", None, "duplicate of line 1"]
    assert [pair.line for pair in pairs] == [1, 2, 3, 4]
    assert [pair.name for pair in pairs][:3] == ["one_two", "one_one", "two_one"]


def test_missing_pictures_are_not_looked_for(listed, tmp_path):
    (pair,) = listed("one.jpg nowhere.jpg")
    assert pair.b == tmp_path / "nowhere.jpg"
    assert pair.skip is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("one.jpg", "line 1"),
        ("one two\none two three", "line 2"),
        ("\n# nothing\n", "no pair"),
        ("", "no pair"),
    ],
)
def test_lines_that_are_no_pair(listed, text, says):
    with pytest.raises(DataError, match=says):
        listed(text)


def test_two_pairs_of_one_name_are_refused(listed, tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="name of that in line 1"):
        listed("one.jpg two.png\nsub/one.jpg two.png")


def test_names_follow_the_template(listed):
    assert listed("one two", name="M_{b}-{a}")[0].name == "M_two-one"


@pytest.mark.parametrize("name", ["morph", "{a}", "{a}/{b}", "{a}_{b}_{c}", "{a", "{0}{1}"])
def test_templates_that_name_no_pair(listed, name):
    with pytest.raises(ConfigError, match="not a name"):
        listed("one two", name=name)


def test_the_list_and_the_folder_must_exist(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_pair_list(tmp_path / "nothing.txt", tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="cannot be read"):
        read_pair_list(tmp_path / "binary.txt", tmp_path)
    with pytest.raises(DataError, match="--images"):
        read_pair_list(tmp_path / "binary.txt", tmp_path / "nowhere")


def test_the_published_protocol(frll):
    pairs = read_pair_list(frll / "pairs_for_morphing_full.txt", frll / "neutral")
    assert len(pairs) == 1220
    assert [pair.name for pair in pairs if pair.skip] == ["061_03_061_03"]
    assert all(pair.a.is_file() and pair.b.is_file() for pair in pairs)


@pytest.mark.parametrize(
    "line",
    ["my face.jpg, other face.jpg", "my face.jpg ;other face.jpg", "my face.jpg\tother face.jpg"],
)
def test_names_with_blanks(tmp_path, line):
    (tmp_path / "list.txt").write_text(line)
    (pair,) = read_pair_list(tmp_path / "list.txt", tmp_path)
    assert (pair.a.name, pair.b.name) == ("my face.jpg", "other face.jpg")


@pytest.mark.parametrize("line", ["/ b.jpg", "my face.jpg other face.jpg"])
def test_lines_without_two_names(tmp_path, line):
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(DataError, match="line 1: not a pair"):
        read_pair_list(tmp_path / "list.txt", tmp_path)


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.txt", "a.npy", "a.xml", "a.ljson", "a.jpg.csv"])
def test_landmark_files_are_found_by_all_their_suffixes(tmp_path, name):
    (tmp_path / name).write_text("1 2")
    assert points_of(tmp_path / "a.jpg", tmp_path) == tmp_path / name


def test_of_two_landmark_files_both_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n3,5\n8,6\n")
    (tmp_path / "a.txt").write_text("A photograph.")
    assert points_of(tmp_path / "a.jpg", tmp_path) == tmp_path / "a.csv"
    (tmp_path / "a.txt").write_text("1 2\n3 5\n8 6\n")
    assert points_of(tmp_path / "a.jpg", tmp_path) == tmp_path / "a.csv"
    (tmp_path / "a.txt").write_text("1 2\n3 5\n8 9\n")
    with pytest.raises(DataError, match=r"two landmark files.*a\.csv and .*a\.txt"):
        points_of(tmp_path / "a.jpg", tmp_path)


def test_pictures_without_a_landmark_file(tmp_path):
    with pytest.raises(DataError, match=r"no landmark file.*\.ljson"):
        points_of(tmp_path / "a.jpg", tmp_path)
