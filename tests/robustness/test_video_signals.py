"""A process that writes a video and is interrupted: the video plays, and the exit code says so."""

from __future__ import annotations

import signal
import time

import pytest
from helpers import forked

from facemorph.faces.files.video_io import read_video

CODE = """
import sys, time
import torch
from facemorph.entry.exits import guarded
from facemorph.faces.files.video_io import write_frames

def frames():
    for index in range(10_000):
        print(index, flush=True)
        time.sleep(0.002)
        yield torch.full((3, 256, 256), index % 50 / 50)

sys.exit(guarded(lambda: write_frames(frames(), sys.argv[1], 25)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.113, 0.271])
def test_ctrl_c_keeps_a_video_that_plays(tmp_path, wait):
    path = tmp_path / "a.mp4"
    process = forked.start("-c", CODE, path, folder=tmp_path)
    try:
        # A frame is handed over after its line: with 21 lines, 20 frames are.
        while process.output.count("\n") < 21 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    count = len(list(read_video(path)))
    assert count >= 20
    assert f"frames kept in {path}: {count}" in errors
    assert list(tmp_path.iterdir()) == [path]
