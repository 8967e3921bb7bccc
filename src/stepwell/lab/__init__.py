"""The lab: which optimizer, which learning rate, on your own model.

    Task        what is trained: a model, data and a loss, as factories
    sweep       optimizers × learning rates × seeds, as few trainings as possible, ranked
    find_lr     a good learning rate, from short runs
    compare     which optimizer is better, after equal tuning, and whether the seeds can tell
    doctor      what is wrong with a training, from watching its optimizer
    examine     the same of a task that is trained for it, and which cure works
    landscape   the loss of a task on a plane through its weights
    tasks       trainings that come along: `tasks.named`

>>> from stepwell.lab import tasks
>>> list(tasks.named)
['digits', 'digits_cnn', 'series', 'airfoil', 'diabetes', 'text', 'transformer']
"""

from stepwell.lab.comparisons.compare import compare as compare
from stepwell.lab.goal import Goal as Goal
from stepwell.lab.goal import accuracy as accuracy
from stepwell.lab.health.doctor import doctor as doctor
from stepwell.lab.health.examine import examine as examine
from stepwell.lab.landscapes.measure import landscape as landscape
from stepwell.lab.rates.find_lr import find_lr as find_lr
from stepwell.lab.sweeps.sweep import sweep as sweep
from stepwell.lab.task import Task as Task
