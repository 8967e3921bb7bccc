"""Where every run is kept: an Optuna study in memory, a database or a journal file."""
