"""`python -m secflow.cli` is the command `secflow`."""

from secflow.cli.main import main

if __name__ == "__main__":
    main()
