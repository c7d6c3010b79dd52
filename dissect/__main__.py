"""`python -m dissect ...` is the command `dissect`."""

from dissect.cli import main

if __name__ == "__main__":
    main()
