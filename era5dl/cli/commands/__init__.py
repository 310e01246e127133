"""The commands of the command line: one module each, with one function a command."""
