"""A good learning rate: from short runs, or a range test; for a task, or for a training that there is."""
