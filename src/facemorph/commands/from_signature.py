"""Commands made of the signatures of the functions that they call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from facemorph.errors import ConfigError
from facemorph.jobs.options import (
    Tensor,
    alternatives,
    argument_texts,
    choices_of,
    hints_of,
    split_annotation,
)

COLLECTIONS = ("Sequence", "list", "tuple", "Iterable")


def options_of(
    function: Callable[..., Any], *, leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a command takes the arguments of a function of ``apps/`` as its options.

    A parameter of the command that is annotated with a typer option or argument is the command
    line's own, and comes in the place of one of the same name. All others are made of the
    function's signature, whether the command names them or takes them by ``**options``.

    Args:
        function: What the command calls.
        leave_out: Arguments of the function that the command line has not.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        hints, texts = hints_of(function), argument_texts(function)
        own = inspect.signature(command).parameters
        own_hints = get_type_hints(command, include_extras=True)
        parameters = {
            name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own_hints[name])
            for name, parameter in own.items()
            if get_origin(own_hints.get(name)) is Annotated
        }
        ordered = []
        for name, parameter in inspect.signature(function).parameters.items():
            if name in parameters:
                ordered.append(parameters.pop(name))
            elif name not in leave_out:
                text = _text(hints[name], texts, name)
                ordered.append(_parameter(parameter, hints[name], text))
        ordered += parameters.values()

        @functools.wraps(command)
        def run(**words: Any) -> Any:
            return command(**words)

        del run.__wrapped__  # typer would look through to the command's own signature
        run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in ordered}
        run.made_of = function  # type: ignore[attr-defined]
        return run

    return decorate


def options_of_each(
    functions: Mapping[str, Callable[..., Any]],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a command takes the arguments of several functions, one for each kind of system.

    What not all of them take says in its help whose it is. The command calls `arguments_for` once
    it knows the kind.

    Args:
        functions: What the command calls, by the name of the kind.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        names = dict.fromkeys(name for one in functions.values() for name in _parameters_of(one))
        found = {name: _shared(name, functions) for name in names}

        @functools.wraps(command)
        def run(**words: Any) -> Any:
            return command(**words)

        del run.__wrapped__  # typer would look through to the command's own signature
        run.__signature__ = inspect.Signature(list(found.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in found.values()}
        run.made_of = dict(functions)  # type: ignore[attr-defined]
        return run

    return decorate


def _parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _shared(name: str, functions: Mapping[str, Callable[..., Any]]) -> inspect.Parameter:
    """One option of all functions that take an argument."""
    takers = {kind: one for kind, one in functions.items() if name in _parameters_of(one)}
    hints = {kind: hints_of(one)[name] for kind, one in takers.items()}
    texts = {kind: _text(hint, argument_texts(takers[kind]), name) for kind, hint in hints.items()}
    defaults = {kind: _parameters_of(one)[name].default for kind, one in takers.items()}
    first = next(iter(takers))
    text, hint = texts[first], hints[first]
    if len(takers) < len(functions):
        text = f"{', '.join(takers)}: {text}"
    elif len(set(texts.values())) > 1:
        text = " ".join(f"{kind}: {one}" for kind, one in texts.items())
    parameter = _parameters_of(takers[first])[name]
    choices = {kind: choices_of(one) for kind, one in hints.items()}
    if len({repr(one) for one in defaults.values()}) == 1 and len(set(choices.values())) == 1:
        return _parameter(parameter, hint, text)
    # Each kind has a default of its own, which is taken where none is given.
    for kind, default in defaults.items():
        among = f", of {'|'.join(choices[kind] or ())}" if choices[kind] else ""
        text += f" {kind}: {default} when not given{among}."
    made = _parameter(parameter, hint, text)
    kind, info = get_args(made.annotation)
    info.metavar = None if choices[first] else info.metavar
    return made.replace(default=None, annotation=Annotated[kind | None, info])


def arguments_for(
    functions: Mapping[str, Callable[..., Any]], kind: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What of a command's options goes to the function of one kind.

    Args:
        functions: As of `options_of_each`.
        kind: Which of them.
        options: All options, given or not.

    Raises:
        ConfigError: An option that this kind has not was given.
    """
    taken = _parameters_of(functions[kind])
    kept = {}
    for name, value in options.items():
        others = [one for one in functions.values() if name in _parameters_of(one)]
        defaults = {repr(_parameters_of(one)[name].default) for one in others}
        if name in taken:
            if value is not None or len(defaults) == 1:
                kept[name] = value
            continue
        default = _parameters_of(others[0])[name].default
        if value != default and not (value in (None, [], ()) and default is None):
            raise ConfigError(
                f"a checkpoint of {kind} has no such option",
                where=name,
                found=value,
                expected=", ".join(one for one in taken if one not in ("output", "checkpoint")),
            )
    return kept


def _text(hint: Any, texts: Mapping[str, str], name: str) -> str:
    """The help of an argument: its option's, or the docstring's."""
    return split_annotation(hint)[1].help or texts.get(name, "")


def _parameter(parameter: inspect.Parameter, hint: Any, text: str) -> inspect.Parameter:
    _, option = split_annotation(hint)
    kind = option.kind or read_as(hint)
    default = inspect.Parameter.empty if option.required else parameter.default
    required = default is inspect.Parameter.empty
    choices = choices_of(hint)
    metavar = option.metavar or ("|".join(choices) if choices else None)
    settings: dict[str, Any] = {"help": text, "metavar": metavar}
    optional = kind if required else kind | None if default is None else kind
    if option.argument or (required and not option.names):
        shown = option.metavar or parameter.name.upper()
        info: Any = typer.Argument(**{**settings, "metavar": shown})
    elif not option.names and kind is bool and default is False:
        info = typer.Option("--" + parameter.name.replace("_", "-"), **settings)
    else:
        info = typer.Option(*option.names, **settings)
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[optional, info],
    )


def read_as(hint: Any) -> Any:
    """Type that the command line reads for an argument: files where Python takes tensors too."""
    if choices_of(hint):
        return str  # the function itself says what there is to choose from
    members = [one for one in alternatives(hint) if one is not Tensor]
    for one in members:
        origin = get_origin(one)
        if origin is not None and getattr(origin, "__name__", "") in COLLECTIONS:
            return list[read_as(get_args(one)[0])]  # type: ignore[misc]
    if any(get_origin(one) is Literal for one in members):
        return str
    for kind in (Path, str, float, int, bool):
        if kind in members:
            return kind
    raise TypeError(f"the command line cannot read {hint}; say so by Option(kind=...)")
