"""Which of several optimizers is better: tuned equally, trained again on fresh seeds, and judged."""
