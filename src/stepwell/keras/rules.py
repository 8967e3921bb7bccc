"""An optimizer class for each rule of the library, known to Keras's files by its name."""
# pyright: reportMissingImports=false

import keras

from stepwell import rules
from stepwell.keras.from_rule import RuleOptimizer, from_rule

_register = keras.saving.register_keras_serializable(package="stepwell.rules")
classes: dict[str, type[RuleOptimizer]] = {}
for _rule in rules.named.values():
    _class = _register(from_rule(_rule))
    _class.__module__ = __name__
    classes[_class.__name__] = _class
globals().update(classes)
