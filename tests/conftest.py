"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("stepwell", deadline=None, derandomize=True)  # shared machines are slow at times
settings.load_profile("stepwell")
