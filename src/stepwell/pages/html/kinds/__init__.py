"""The kinds of results that a report can show: a module each, with its `KIND`; a new one is found by being here."""
