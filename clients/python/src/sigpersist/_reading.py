"""The base of the models: reads them from JSON, and keeps signatures out of their text form.

Members that a newer server adds are skipped. Words that it adds to an enumeration are passed on as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

M = TypeVar("M", bound="Model")

# Text members that a log must not show: a signature is personal data.
HIDDEN = {"signature"}


class Model:
    """A part of an answer."""

    __slots__ = ()

    def __repr__(self) -> str:
        members = (_shown(field.name, getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(members)})"


def read(model: type[M], data: Any) -> M:
    """Reads a model from JSON. Raises `ValueError` if required members are missing."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{model.__name__} is not an object")
    members = {
        name: reader(data[name]) if data[name] is not None else None
        for name, reader in _readers(model).items()  # type: ignore[arg-type]
        if name in data
    }
    try:
        return model(**members)
    except TypeError as error:
        raise ValueError(str(error)) from None


@functools.cache
def _readers(model: Any) -> dict[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(model)
    return {field.name: _reader(hints[field.name]) for field in dataclasses.fields(model)}


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        [hint] = [argument for argument in arguments if argument is not types.NoneType]
        return _reader(hint)
    if origin is list:
        item = _reader(arguments[0])
        return lambda data: [item(value) if value is not None else None for value in data]
    if hint is datetime:
        return _time
    if isinstance(hint, type) and issubclass(hint, Model):
        return functools.partial(read, hint)
    return _unchanged


def _time(data: Any) -> datetime:
    time = datetime.fromisoformat(data)
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time


def _unchanged(data: Any) -> Any:
    return data


def _shown(name: str, value: Any) -> str:
    if name in HIDDEN and isinstance(value, str):
        return f"{name}=<{len(value)} characters>"
    return f"{name}={value!r}"
