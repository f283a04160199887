"""The command line: `app` puts the commands under the panels of its help, one file each; they call `codeact.api` alone."""

from codeact.cli.app import main

__all__ = ["main"]
