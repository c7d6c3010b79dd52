"""`python -m mdl ...` is the command `mdl`."""

from mdl.cli import main

if __name__ == "__main__":
    main()
