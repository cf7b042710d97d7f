"""`python -m rooflight` is `rooflight`."""

from rooflight.cli.main import main

if __name__ == "__main__":  # processes that a command starts import this module too
    main()
