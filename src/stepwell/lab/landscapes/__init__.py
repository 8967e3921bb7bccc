"""The loss of a task's model on a plane through weight space: `landscape`."""
