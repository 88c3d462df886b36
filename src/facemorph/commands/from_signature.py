"""Commands made of the signatures of the functions that they call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

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
                ordered.append(_parameter(parameter, hints[name], texts.get(name, "")))
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


def _parameter(parameter: inspect.Parameter, hint: Any, text: str) -> inspect.Parameter:
    _, option = split_annotation(hint)
    kind = option.kind or read_as(hint)
    default = inspect.Parameter.empty if option.required else parameter.default
    required = default is inspect.Parameter.empty
    choices = choices_of(hint)
    metavar = option.metavar or ("|".join(choices) if choices else None)
    settings: dict[str, Any] = {"help": option.help or text, "metavar": metavar}
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
