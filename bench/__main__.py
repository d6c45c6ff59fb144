"""`python -m bench`."""

from bench.cli.commands import main

main()
