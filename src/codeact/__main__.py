"""`python -m codeact`."""

from codeact.cli import main

if __name__ == "__main__":
    main()
