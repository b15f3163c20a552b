"""Qt as 3D Slicer's Python sees it (PythonQt), over PySide6: ``qt = Qt()``.

Slicer's Python reads ``button.text`` where PySide reads ``button.text()``; it hands a slot as many arguments as it
takes; it prints what goes wrong in a slot and goes on, and a signal that does not exist is a line on the console. Here
each of these slips raises: what is no property, signal or method of the class is an AttributeError, and an exception
in a slot is kept until ``raise_errors`` is called, which the tests do after each click and at their end.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

# In Qt 6 only: Slicer 5.10 and 5.12 are built with Qt 5.15.
QT6_ONLY = {"QCheckBox": {"checkStateChanged"}}
# Functions of QFileDialog that in PySide give (name, filter), in PythonQt the name alone.
FILE_DIALOGS = {"getOpenFileName", "getSaveFileName", "getOpenFileNames"}

# What a property of a type takes; PySide would turn "no" into True.
KINDS: dict[str, Any] = {"bool": (bool, int), "int": int, "double": (int, float), "QString": str}

_errors: list[BaseException] = []
_connections: dict[tuple[int, str], list[tuple[Callable, Callable]]] = {}
_classes: dict[type, type] = {}


def raise_errors() -> None:
    """Raises the first exception that came up in a slot since the last call."""
    if _errors:
        first = _errors[0]
        _errors.clear()
        raise first


def keep_error(error: BaseException) -> None:
    """Remember an exception that nobody above could catch."""
    _errors.append(error)


@dataclass(frozen=True)
class Api:
    """The members of one class: names of properties and methods, full signatures of each signal."""

    properties: dict[str, QtCore.QMetaProperty]
    signals: dict[str, list[str]]
    methods: frozenset[str]


@functools.cache
def api_of(cls: type) -> Api:
    """Members of a QObject class; of a stand-in for a Slicer class only those that the table of Slicer names."""
    meta = cls.staticMetaObject
    qt_class = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6."))
    named = getattr(cls, "table", None)
    hidden = QT6_ONLY.get(qt_class.__name__, set())
    signals: dict[str, list[str]] = {}
    for k in range(qt_class.staticMetaObject.methodCount()):
        method = qt_class.staticMetaObject.method(k)
        name = bytes(method.name()).decode()
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal and name not in hidden:
            signals.setdefault(name, []).append(bytes(method.methodSignature()).decode())
    properties = [meta.property(k) for k in range(meta.propertyCount())]
    methods = {name for name in dir(qt_class) if not name.startswith("_") and callable(getattr(qt_class, name, None))}
    if named:
        signals |= named.signals
        methods |= set(named.methods)
    return Api({p.name(): p for p in properties}, signals, frozenset(methods - set(signals) - hidden))


def normalized(signature: str) -> str:
    """``currentNodeChanged(vtkMRMLNode* node)`` -> ``currentNodeChanged(vtkMRMLNode*)``."""
    return bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()


def wrap(value: Any) -> Any:
    """A value of PySide as PythonQt shows it."""
    if isinstance(value, QtCore.QObject):
        proxy = object.__new__(proxy_class(type(value)))
        object.__setattr__(proxy, "_real", value)
        return proxy
    if isinstance(value, list | tuple):
        return type(value)(wrap(part) for part in value)
    return value


def unwrap(value: Any) -> Any:
    """The PySide value behind what the module's code holds."""
    if isinstance(value, Proxy):
        return value._real
    if isinstance(value, ProxyClass):
        return value._cls
    if isinstance(value, list | tuple):
        return type(value)(unwrap(part) for part in value)
    return value


def guarded(slot: Callable) -> Callable:
    """``slot`` with as many arguments as it takes; what it raises is kept for ``raise_errors``."""
    most = _accepted(slot)

    def call(*arguments: Any) -> None:
        try:
            slot(*(wrap(argument) for argument in arguments[:most]))
        except Exception as error:
            keep_error(error)

    return call


def _accepted(slot: Callable) -> int | None:
    """How many arguments PythonQt hands over: it looks at plain functions and methods, others get all."""
    function = getattr(slot, "__func__", slot)
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - inspect.ismethod(slot)


class Signal:
    """One signal of one object."""

    def __init__(self, owner: QtCore.QObject, signature: str) -> None:
        self._owner, self._signature = owner, signature
        self._key = (shiboken6.getCppPointer(owner)[0], signature)

    def _bound(self) -> Any:
        name, _, rest = self._signature.partition("(")
        signal = getattr(self._owner, name)
        if getattr(type(self._owner), "table", None) and name in type(self._owner).table.signals:
            return signal
        types = [part for part in rest.rstrip(")").split(",") if part]
        try:
            return signal[",".join(types)] if types else signal
        except (KeyError, IndexError):
            return signal

    def connect(self, slot: Callable) -> bool:
        if not callable(slot):
            raise TypeError(f"{self._signature}: {slot!r} cannot be called")
        call = guarded(slot)
        self._bound().connect(call)
        _connections.setdefault(self._key, []).append((slot, call))
        return True

    def disconnect(self, slot: Callable) -> bool:
        for pair in _connections.get(self._key, []):
            if pair[0] == slot:
                self._bound().disconnect(pair[1])
                _connections[self._key].remove(pair)
                return True
        raise ValueError(f"{self._signature}: {slot!r} was not connected")


class ProxyClass(type):
    """``qt.QTimer``: static functions and enumerations by attribute."""

    _cls: type

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(cls._cls, name)
        if not callable(value) or inspect.isclass(value):
            return value

        def call(*arguments: Any) -> Any:
            given = [guarded(a) if inspect.isroutine(a) else unwrap(a) for a in arguments]
            result = wrap(value(*given))
            return result[0] if name in FILE_DIALOGS else result

        return call


class Proxy(metaclass=ProxyClass):
    """An object of Qt or of a stand-in, with PythonQt's manners."""

    _cls: type = QtCore.QObject
    _real: QtCore.QObject

    def __init__(self, *arguments: Any) -> None:
        object.__setattr__(self, "_real", self._cls(*(unwrap(argument) for argument in arguments)))

    def __getattr__(self, name: str) -> Any:
        real = self._real
        api = api_of(type(real))
        if name == "name":
            return real.objectName()
        if name in api.properties:
            return wrap(real.property(name))
        if name in api.signals:
            return Signal(real, api.signals[name][0])
        if name in api.methods:
            method = getattr(real, name)
            return functools.wraps(method)(lambda *arguments: wrap(method(*(unwrap(a) for a in arguments))))
        raise AttributeError(f"{type(self).__name__} has no property, signal or method '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        name = "objectName" if name == "name" else name
        known = api_of(type(self._real)).properties.get(name)
        if known is None or not known.isWritable():
            raise AttributeError(f"{type(self).__name__} has no property '{name}' that can be set")
        value = unwrap(list(value) if isinstance(value, tuple) else value)
        wanted = KINDS.get(known.typeName(), object)
        if not isinstance(value, wanted) or not self._real.setProperty(name, value):
            raise TypeError(f"{type(self).__name__}.{name} does not take {value!r}")

    def connect(self, signature: str, slot: Callable) -> bool:
        """``connect("clicked(bool)", slot)``."""
        wanted = normalized(signature)
        if wanted not in (normalized(s) for s in api_of(type(self._real)).signals.get(wanted.partition("(")[0], [])):
            raise AttributeError(f"{type(self).__name__} has no signal '{signature}'")
        return Signal(self._real, wanted).connect(slot)

    def disconnect(self, signature: str, slot: Callable) -> bool:
        return Signal(self._real, normalized(signature)).disconnect(slot)

    def className(self) -> str:
        return type(self).__name__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and other._real is self._real

    def __hash__(self) -> int:
        return hash(self._real)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self._real.objectName()}'>"


def proxy_class(cls: type) -> type:
    """What ``type(widget)`` is in the module's code: one class for each class of Qt or Slicer."""
    if cls not in _classes:
        _classes[cls] = ProxyClass(cls.__name__, (Proxy,), {"_cls": cls, "__module__": "qt"})
    return _classes[cls]


class Qt:
    """The modules ``qt`` (all of Qt's classes) and, given stand-ins, ``ctk``."""

    def __init__(self, stand_ins: dict[str, type] | None = None) -> None:
        self._stand_ins = stand_ins

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._stand_ins is not None:
            places: tuple[Any, ...] = (self._stand_ins.get(name),)
        else:
            places = tuple(getattr(module, name, None) for module in (QtWidgets, QtGui, QtCore))
        found = next((place for place in places if place is not None), None)
        if found is None:
            raise AttributeError(f"there is no class '{name}'")
        return proxy_class(found) if inspect.isclass(found) and issubclass(found, QtCore.QObject) else found
