"""`python -m rooflight` is `rooflight`."""

from rooflight.cli.main import main

main()
