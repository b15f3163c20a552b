"""A small ``slicer.parameterNodeWrapper``, as the real one behaves for the kinds of parameters that the module has.

From the source of Slicer 5.12: values live in the scene's parameter node, defaults are written at once, a widget is
found by its property SlicerParameterName and must be of exactly the type that the parameter's connector wants, and
``connectGui`` gives no tag back, so ``disconnectGui`` with its result does nothing.
"""

from __future__ import annotations

import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PROPERTY = "SlicerParameterName"
MODIFIED = "ModifiedEvent"


@dataclass(frozen=True)
class Choice:
    choices: typing.Sequence[str]

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Parameter:
    """One parameter: its type, its limits, its default, and how the node keeps it."""

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        self.name = name
        self.annotation = annotation
        parts = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Annotated else (annotation,)
        self.type, self.limits = parts[0], parts[1:]
        self.is_node = self.type not in (bool, float, str)
        if self.is_node and not hasattr(self.type, "IsTypeOf"):
            raise TypeError(f"Unable to create serializer for member {name} of type {self.type}")
        self.default = default if default is not None or self.is_node else self.type()

    def present(self, node: Any) -> bool:
        if self.is_node:
            return node.GetNodeReferenceID(self.name) is not None
        return node.GetParameter(self.name) != ""

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        if not self.present(node):
            self.write(node, self.default)
        text = node.GetParameter(self.name)
        return text == "True" if self.type is bool else self.type(text)

    def write(self, node: Any, value: Any) -> None:
        if self.is_node:
            if value is not None and not value.IsA(self.type.__name__):
                raise TypeError(f"Value must be of type '{self.type.__name__}', is {value.GetClassName()}")
            node.SetNodeReferenceID(self.name, value.GetID() if value else None)
            return
        if not isinstance(value, (int, float) if self.type is float else self.type):
            raise TypeError(f"Value must be of type '{self.type}', is type '{type(value)}' value '{value}'")
        for limit in self.limits:
            limit.validate(value)
        node.SetParameter(self.name, str(value))


def parameterNodeWrapper(cls: type) -> type:
    """Class decorator: each annotated member becomes a property of the parameter node."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: Parameter(name, hint, getattr(cls, name, None)) for name, hint in hints.items()}
    for name, parameter in parameters.items():
        setattr(cls, name, _property(parameter))
    members = {key: value for key, value in vars(_Wrapper).items() if not key.startswith("__") or key == "__init__"}
    for key, value in members.items():
        if key != "__init__" and hasattr(cls, key):
            raise ValueError(f"Cannot use reserved name '{key}' in a parameterNodeWrapper")
        setattr(cls, key, value)
    cls.allParameters = parameters
    return cls


def _property(parameter: Parameter) -> property:
    def write(self: Any, value: Any) -> None:
        was = self.parameterNode.StartModify()  # observers come after the value, as in Slicer
        try:
            parameter.write(self.parameterNode, value)
            self._values[parameter.name] = parameter.read(self.parameterNode)
        finally:
            self.parameterNode.EndModify(was)

    return property(lambda self: self._values[parameter.name], write)


class _Wrapper:
    """What every wrapped class gets."""

    allParameters: dict[str, Parameter]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Connector]] = {}
        self._next = 0
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.present(parameterNode):
                parameter.write(parameterNode, parameter.default)
        self._values: dict[str, Any] = {}  # as they were at the last change of the node: not those of a scene's import
        _read_again(weakref.ref(self))
        me = weakref.ref(self)
        parameterNode.AddObserver(MODIFIED, lambda *_: _read_again(me))

    def connectGui(self, gui: Any) -> None:
        widgets = (widget for widget in vars(gui).values() if widget.property(PROPERTY))
        self.connectParametersToGui({widget.property(PROPERTY): widget for widget in widgets})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in set(mapping) - set(self.allParameters):
            raise ValueError(f"Cannot find a param with the given name: {name}")
        connectors = {name: _connector(widget, self.allParameters[name]) for name, widget in mapping.items()}
        tag = self._next
        self._next += 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(getattr(self, name))
            connector.listen(self._from_gui(name, connector))
        self.AddObserver(MODIFIED, lambda *_: self._to_gui())
        return tag

    def _from_gui(self, name: str, connector: Connector) -> Callable[[], None]:
        def changed() -> None:
            if not self._updating:
                setattr(self, name, connector.read())

        return changed

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(getattr(self, name))
        finally:
            self._updating = False

    def disconnectGui(self, tag: int | None) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.silence()

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was: int) -> None:
        self.parameterNode.EndModify(was)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _read_again(wrapper: Any) -> None:
    if wrapper() is not None:
        node = wrapper().parameterNode
        wrapper()._values = {name: one.read(node) for name, one in wrapper().allParameters.items()}


class Connector:
    """Between one widget and one parameter: a signal to listen to, a way to read and a way to write."""

    def __init__(self, signal: Any, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._signal, self.read, self.write = signal, read, write
        self._slot: Callable[[], None] | None = None

    def listen(self, slot: Callable[[], None]) -> None:
        self._slot = slot
        self._signal.connect(slot)

    def silence(self) -> None:
        self._signal.disconnect(self._slot)


def _connector(widget: Any, parameter: Parameter) -> Connector:
    """Raises RuntimeError where Slicer has no connector for this widget and this type, or one that needs limits."""
    kind = type(widget).__name__
    if parameter.is_node and kind == "qMRMLNodeComboBox":
        widget.nodeTypes = [parameter.type.__name__]
        return Connector(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)
    if parameter.type is bool and kind in ("QCheckBox", "QPushButton"):
        signal = widget.stateChanged if kind == "QCheckBox" else widget.toggled
        return Connector(signal, lambda: widget.checked, lambda value: setattr(widget, "checked", value))
    if parameter.type is float and kind in ("QDoubleSpinBox", "ctkSliderWidget"):
        limits = next((one for one in parameter.limits if isinstance(one, WithinRange)), None)
        widget.minimum = limits.minimum if limits else float("-inf")
        widget.maximum = limits.maximum if limits else float("inf")
        return Connector(widget.valueChanged, lambda: widget.value, lambda value: setattr(widget, "value", value))
    if parameter.type is str and kind == "QComboBox":
        return _combo(widget, parameter)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.annotation}' to widget type '{kind}'")


def _combo(widget: Any, parameter: Parameter) -> Connector:
    choices = next((one.choices for one in parameter.limits if isinstance(one, Choice)), None)
    if choices is None:
        raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
    widget.clear()
    for choice in choices:
        widget.addItem(str(choice))
    return Connector(
        widget.currentIndexChanged,
        lambda: choices[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", list(choices).index(value)),
    )
