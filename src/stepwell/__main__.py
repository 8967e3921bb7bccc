"""`python -m stepwell`, and the `stepwell` command."""

import signal
import sys


def main() -> None:
    """Run the command line; without the packages that it needs, say how to get them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as Ctrl-C: what is done is kept
    try:
        from stepwell.cli import app

        app(prog_name="stepwell")
    except ModuleNotFoundError as error:
        if (error.name or "stepwell").startswith("stepwell"):
            raise
        print(f'stepwell: this needs {error.name}: pip install "stepwell[lab]"', file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
