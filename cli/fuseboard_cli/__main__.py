"""`python -m fuseboard_cli` is `fuseboard`."""

from fuseboard_cli.main import run

if __name__ == "__main__":
    run()
