"""The command line and Python have the same options, with the same defaults, and every one is
explained.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import typer
from helpers import ROOT

from facemorph.cli import COMMANDS, load, make_app
from facemorph.commands.from_signature import arguments_for
from facemorph.errors import ConfigError
from facemorph.jobs.options import (
    alternatives,
    argument_texts,
    choices_of,
    hints_of,
    split_annotation,
)

BEFORE = json.loads((ROOT / "tests/support/options_before.json").read_text())
NEVER = "none of them"
# What a command had before and has no longer, or with another default, by intention.
DIFFERENT: dict[tuple[str, str], object] = {
    ("sample", "--vary"): "each kind of system has its own, and the help says which",
    ("pca", "--sigmas"): "likewise",
}


def commands() -> dict[str, object]:
    """Every command as click has it, groups taken apart."""
    found = {}

    def walk(name, command):
        inner = getattr(command, "commands", None)
        if inner is None:
            found[name] = command
        for word, one in (inner or {}).items():
            walk(f"{name} {word}".strip(), one)

    walk("", typer.main.get_command(make_app()))
    return found


CLICK = commands()


def made_of(command) -> dict[str, object]:
    """The functions that a command is made of, by the kind of system that each is for."""
    found = getattr(command, "made_of", {})
    return found if isinstance(found, dict) else {"": found}


# The function behind each command; of one that asks for the kind of system: COMMAND/KIND.
MADE = {
    f"{name}/{kind}".rstrip("/"): function
    for one in COMMANDS
    for name, command in (
        (one.name, load(one)),
        *(
            (f"{one.name} {inner.name or inner.callback.__name__}", inner.callback)
            for inner in getattr(load(one), "registered_commands", ())
        ),
    )
    for kind, function in made_of(command).items()
}


def plain(value):
    """A default as JSON and Python have it; click has other values for None."""
    if isinstance(value, Path):
        return str(value)
    return None if value == () or type(value).__name__ == "Sentinel" else value


def names_of(parameter) -> str:
    return " ".join(sorted([*parameter.opts, *parameter.secondary_opts]))


def own(name):
    """Options of a command that are arguments of its function, by name."""
    known = inspect.signature(MADE[name]).parameters
    return {one.name: one for one in params_of(name) if one.name in known}


def params_of(name):
    return CLICK[name.partition("/")[0]].params


def test_commands_are_made_of_signatures():
    """The list may only grow."""
    assert {name.partition("/")[0] for name in MADE} >= {
        "morph",
        "chain",
        "average",
        "transform",
        "caricature",
        "symmetrize",
        "regions",
        "align",
        "delineate",
        "mask",
        "edit",
        "render",
        "animate",
        "sample",
        "figure",
        "study ab",
        "study likert",
        "study results",
        "interpolate",
        "transfer",
        "pca",
        "reconstruct",
        "fit",
        "landmarks",
        "morph-dataset",
        "evaluate-scans",
        "data prepare",
        "data synth",
        "data scans",
        "data prepare-scans",
        "evaluate",
        "det",
        "degrade",
        "redo",
        "import-ifmorph",
    }


@pytest.mark.parametrize("name", MADE)
def test_defaults_are_those_of_python(name):
    """What the command hands on when nothing is given is what Python does when nothing is given."""
    words = []
    for parameter in params_of(name):
        if parameter.required:
            flag = [] if parameter.param_type_name == "argument" else [parameter.opts[-1]]
            words += [*flag, "1"]
    given = CLICK[name.partition("/")[0]].make_context(name, words).params
    signature = inspect.signature(MADE[name]).parameters
    if "/" in name:
        command, _, kind = name.partition("/")
        functions = {
            one.partition("/")[2]: MADE[one] for one in MADE if one.startswith(f"{command}/")
        }
        handed_on = arguments_for(functions, kind, given)
        given = {**{key: one.default for key, one in signature.items()}, **handed_on}
    assert signature.keys() <= own(name).keys()
    for key, parameter in own(name).items():
        if not parameter.required:
            assert plain(given[key]) == plain(signature[key].default), key
        else:
            assert signature[key].default in (None, inspect.Parameter.empty), key


@pytest.mark.parametrize("name", MADE)
def test_every_option_is_explained(name):
    texts = argument_texts(MADE[name])
    for key, hint in hints_of(MADE[name]).items():
        said_once = split_annotation(hint)[1].help  # of an option that functions share
        assert texts.get(key) or said_once, f"{key} is not explained"
        parameter = own(name)[key]
        shown = f"{parameter.metavar} {parameter.help}"
        for one in alternatives(hint):
            if get_origin(one) is Literal:
                missing = [word for word in get_args(one) if str(word) not in shown]
                assert not missing, f"{key}: {missing} are not in the help"
    for parameter in params_of(name):
        assert parameter.name == "help" or parameter.help, parameter.name


@pytest.mark.parametrize("name", MADE)
def test_help_is_plain(name):
    """Words of Python do not reach the command line."""
    for parameter in params_of(name):
        for word in ("None", "``", "(3, H, W)", "facemorph.", "True", "False"):
            assert word not in (parameter.help or ""), f"{parameter.name}: {word}"


@pytest.mark.parametrize("name", MADE)
def test_wrong_choices_are_refused_before_any_work(name):
    function = MADE[name]
    hints = hints_of(function)
    required = {
        key: (choices_of(hints[key]) or ["nothing"])[0]
        for key, one in inspect.signature(function).parameters.items()
        if one.default is inspect.Parameter.empty
    }
    for key, hint in hints.items():
        choices = choices_of(hint)
        if choices is not None:
            with pytest.raises(ConfigError, match="no such choice") as raised:
                function(**{**required, key: NEVER})
            assert raised.value.where == key
            assert all(str(one) in raised.value.expected for one in choices)


@pytest.mark.parametrize("name", BEFORE)
def test_every_option_of_before_is_there(name):
    now = CLICK[name].params
    options = {names_of(one): one for one in now if one.param_type_name == "option"}
    for names, default in BEFORE[name]["options"].items():
        if (name, names) in DIFFERENT:
            continue
        found = next(
            (one for key, one in options.items() if {*names.split()} <= {*key.split()}), None
        )
        assert found is not None, names
        assert (plain(found.default) if not found.required else "REQUIRED") == default, names
    assert (
        len([one for one in now if one.param_type_name == "argument"]) == BEFORE[name]["arguments"]
    )


HEAVY = ("torch", "numpy", "scipy", "PIL", "omegaconf")
MISTYPED = """
import sys
from facemorph.cli import run
for words in {words!r}:
    if run(words) != 2:
        sys.exit(f"{{words}} was taken")
    loaded = [name for name in {heavy!r} if name in sys.modules]
    if loaded:
        sys.exit(f"facemorph {{' '.join(words)}} loads {{', '.join(loaded)}}")
"""


def test_a_mistyped_path_ends_before_anything_heavy_is_loaded(tmp_path):
    lines = (
        "morph no.png no.png -o a.mp4",
        "chain no.png no.png -o a.mp4",
        "average no.png -o a.png",
        "transform no.png --from no.png --to no.png -o a.png",
        "caricature no.png --average no.png -o a.png",
        "symmetrize no.png -o a.png",
        "regions no.png no.png -o a.png",
        "align no.png -o a",
        "delineate no.png no.pts no.png -o a.pts",
        "mask no.png -o a.png",
        "edit no.png no.png",
        "import-ifmorph no.yaml -o a",
        "animate no.png --driving no.mp4 -o a.mp4",
        "render no.png -o a.png",
        "fit no.png no.obj -o a",
        "landmarks no.png -o a",
        "reconstruct no.obj -o a",
        "degrade no.png -o a --jpeg 50",
        "evaluate no",
        "det no.csv",
        "redo no.recipe.yaml",
        "figure speech --driving no.npz -o a.mp4",
        "study ab no no -o a",
        "study likert no -o a",
        "study results no.csv --key no.json -o a",
    )
    code = MISTYPED.format(words=[line.split() for line in lines], heavy=HEAVY)
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.iterdir())
