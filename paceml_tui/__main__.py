"""``python -m paceml_tui`` is ``paceml-tui``."""

from paceml_tui.cli import main

if __name__ == "__main__":
    main()
