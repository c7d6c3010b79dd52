"""`python -m data_prep.cli ...` is the command `data-prep`."""

from data_prep.cli import main

if __name__ == "__main__":
    main()
