"""File names that people have are text in overrides, whatever Hydra's grammar thinks of them."""

from __future__ import annotations

import os

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hypothesis import given
from hypothesis import strategies as st

from facemorph.config.compose import conf_dir
from facemorph.config.explained import compose
from facemorph.config.overrides import mode_of, quote_texts

NAMES = (
    "photo (1).jpg",
    "(x).jpg",
    "O'Brien.jpg",
    'it\'s "b" (2).jpg',
    "Ülle.jpg",
    "日本.jpg",
    "a&b.jpg",
    "a;b.jpg",
    "x#1.jpg",
    "a=b.jpg",
    "{x}.jpg",
    "[a].jpg",
    'a"b.jpg',
    "x(1,2).jpg",
    "C:\\photos (old)\\a.jpg",
    "folder (1)\\",
    "back\\'slash.jpg",
)


def value_of(word):
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize("name", NAMES)
def test_names_come_through(name):
    (word,) = quote_texts([f"data.a={name}"])
    assert value_of(word) == name
    assert quote_texts([word]) == [word]


@pytest.mark.parametrize(
    "word",
    [
        "data.a=my photo.jpg",
        "data.a=a,b.jpg",
        "data.a=choice(a,b)",
        "data.a=${oc.env:HOME}/a.jpg",
        "system.learning_rate=1e-3",
        "data.a=null",
        "data.a=",
        "data.a='photo (1).jpg'",
        "data.folders=[a,b]",
        "data.shares={genuine: 0.5}",
        "data.folders=[a, b",
        "~callbacks.ema",
        "--cfg",
        "-m",
    ],
)
def test_all_else_stays(word):
    assert quote_texts([word]) == [word]


def test_the_home_folder():
    home = os.path.expanduser("~")
    (word,) = quote_texts(["data.a=~/a (1).jpg"])
    assert value_of(word) == f"{home}/a (1).jpg"
    assert value_of(quote_texts(["+data.a=~/a.jpg"])[0]) == f"{home}/a.jpg"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20))
def test_any_name_is_text_or_read(name):
    """With a suffix it is never refused; what Hydra reads itself stays what it reads."""
    word = f"data.a={name}.jpg"
    (quoted,) = quote_texts([word])
    value = value_of(quoted)
    if quoted != word and not name.startswith("~"):
        assert value == f"{name}.jpg"


def test_the_config_has_the_name():
    (word,) = quote_texts(["data.a=O'Brien (1).jpg"])
    cfg = compose("train", ["experiment=ifmorph/tiny", word, "data.b=b.jpg"])
    assert cfg.data.a == "O'Brien (1).jpg"


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], None),
        (["experiment=ifmorph/tiny", "trainer.max_epochs=2"], None),
        (["sweep=seeds", "experiment=ifmorph/tiny"], RunMode.MULTIRUN),
        (["experiment=no_such"], None),
    ],
)
def test_the_mode_is_what_hydra_finds(words, mode):
    """Compared with Hydra's own way, which composes everything."""
    found = mode_of("train", words)
    assert found == mode
    hydra = Hydra.create_main_hydra2(
        "test", create_automatic_config_search_path(None, None, str(conf_dir()))
    )
    try:
        own = hydra.get_mode("train", words)
    finally:
        GlobalHydra.instance().clear()
    assert own == found
