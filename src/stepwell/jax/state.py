"""The state of a transformation: the count of updates, and a tree beside the parameters for each state of the rule."""

from collections import namedtuple
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from stepwell.door import class_name
from stepwell.rule import Rule

Pairs = tuple[tuple[str, Any], ...]


class RuleState(tuple[Any, ...]):
    """A NamedTuple (count, state…), the fields in the rule's order; what is the same at every step is on its class.

    Attributes:
        rule: the rule.
        fields: which field holds each state of the rule.
        hyper: the hyperparameters that are Python's numbers.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __new__(cls, count: Any, *trees: Any) -> "RuleState": ...

    rule: ClassVar[Rule]
    fields: ClassVar[Mapping[str, str]]
    hyper: ClassVar[Mapping[str, float]]
    count: Any

    @property
    def arrays(self) -> dict[str, Any]:
        """The tree of each state, under the rule's names."""
        return {name: getattr(self, field) for name, field in self.fields.items()}

    def __reduce__(self) -> Any:
        return _rebuilt, (self.rule, tuple(self.fields.items()), tuple(self.hyper.items()), tuple(self))


_types: "WeakValueDictionary[tuple[Rule, Pairs, Pairs], type[RuleState]]" = WeakValueDictionary()


def state_type(rule: Rule, fields: Pairs, hyper: Pairs) -> type[RuleState]:
    """The class of these states; the same one each time, since JAX tells the structure of a tree by it."""
    key = (rule, fields, hyper)
    if (found := _types.get(key)) is None:
        base: Any = namedtuple(f"{class_name(rule)}State", ["count", *(field for _, field in fields)])
        members = {"__slots__": (), "rule": rule, "fields": dict(fields), "hyper": dict(hyper), "__module__": __name__}
        found = _types[key] = type(base.__name__, (RuleState, base), members)
    return found


def _rebuilt(rule: Rule, fields: Pairs, hyper: Pairs, values: tuple[Any, ...]) -> RuleState:
    return state_type(rule, fields, hyper)(*values)
