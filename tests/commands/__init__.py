"""The long commands, one a module: `python -m tests.commands.NAME --help`. tests/README.md lists them."""
