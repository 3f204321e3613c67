"""`python -m resgrid`: the program `resgrid` where it is not installed."""

from resgrid.commands.main import main

if __name__ == "__main__":
    main()
