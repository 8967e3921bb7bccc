"""The tasks that come along: a function makes each, from a place for its data or None.

They need no network, but for the airfoil table, which is downloaded where it is not yet. A public function of a
family's file that gives a `Task` is a bundled task, and `named` has it by its name.

>>> from stepwell.lab import tasks
>>> "digits" in tasks.named, tasks.digits().measured
(True, 'validation loss [nats]')
"""

import inspect
from collections.abc import Callable
from pathlib import Path

from stepwell.lab.batches import Data as Data
from stepwell.lab.goal import Goal as Goal
from stepwell.lab.task import Task as Task
from stepwell.lab.tasks.images import *  # noqa: F403
from stepwell.lab.tasks.signals import *  # noqa: F403
from stepwell.lab.tasks.tables import *  # noqa: F403
from stepwell.lab.tasks.texts import *  # noqa: F403

named: dict[str, Callable[[Path | None], Task]] = {
    name: value
    for name, value in list(globals().items())
    if inspect.isfunction(value) and value.__annotations__.get("return") is Task
}
