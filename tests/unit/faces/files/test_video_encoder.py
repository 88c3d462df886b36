"""Video files: colours as their tags say, the index first, and times of their own."""

from fractions import Fraction

import numpy as np
import pytest

from facemorph.faces.files.video_encoder import VideoEncoder

av = pytest.importorskip("av")

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}  # of red and blue, by the number of H.273
COLOURS = [(220, 40, 60), (30, 200, 90), (10, 30, 250), (255, 255, 255), (0, 0, 0), (255, 220, 190)]


def patch(colour, height, width=32):
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def decoded(frame):
    """Colour in the middle of a 4:2:0 frame, by the equations of the matrix that it is tagged with
    and limited range.
    """
    planes = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    middle = [plane[frame.height // 4, frame.width // 4] for plane in planes]
    light = (float(middle[0]) - 16) / 219
    blue, red = ((float(value) - 128) / 224 for value in middle[1:])
    of_red, of_blue = WEIGHTS[int(frame.colorspace)]
    red, blue = light + 2 * (1 - of_red) * red, light + 2 * (1 - of_blue) * blue
    green = (light - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return 255 * np.clip([red, green, blue], 0, 1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("height", "matrix"), [(64, 6), (718, 6), (719, 1), (720, 1)])
def test_colours_come_back_by_the_tags(tmp_path, suffix, height, matrix):
    with VideoEncoder(tmp_path / "a", suffix, 10, preset="veryfast") as encoder:
        for colour in COLOURS:
            encoder.add(patch(colour, height))
    with av.open(str(tmp_path / "a")) as container:
        context = container.streams.video[0].codec_context
        assert (int(context.colorspace), int(context.color_range)) == (matrix, 1)
        assert (int(context.color_primaries), int(context.color_trc)) == (1, 13)
        for colour, frame in zip(COLOURS, container.decode(video=0), strict=True):
            assert np.abs(decoded(frame) - colour).max() <= 2
            # FFmpeg's own way back rounds down
            assert np.abs(frame.to_ndarray(format="rgb24")[9, 9].astype(int) - colour).max() <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_comes_first(tmp_path, suffix):
    with VideoEncoder(tmp_path / "a", suffix, 10) as encoder:
        for _ in range(3):
            encoder.add(patch((1, 2, 3), 16))
    content = (tmp_path / "a").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_keep_their_own_times(tmp_path, suffix):
    times = [0.0, 0.04, 0.07, 0.2, 0.9, 0.95, 1.5]
    with VideoEncoder(tmp_path / "a", suffix, 30) as encoder:
        for time in times:
            encoder.add(patch((90, 90, 90), 16), time)
    with av.open(str(tmp_path / "a")) as container:
        found = [frame.time for frame in container.decode(video=0)]
    assert found == pytest.approx(times, abs=1e-3)


def test_even_times_and_the_comment(tmp_path):
    with VideoEncoder(tmp_path / "a", ".mp4", 12.5, comment="mine") as encoder:
        for _ in range(4):
            encoder.add(patch((90, 90, 90), 15, 17))
    with av.open(str(tmp_path / "a")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(25, 2)
        assert (stream.height, stream.width) == (16, 18)
        assert container.metadata["comment"] == "mine"
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.08, 0.16, 0.24])
