"""Trainings that answer questions: tasks, runs, and the comparison of all optimizers on a task.

>>> from stepwell.lab import tasks
>>> list(tasks.named)
['digits', 'airfoil']
"""
