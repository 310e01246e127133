"""The commands. Each function has the form (arguments, output, interrupts) -> exit code, and may raise Era5Error."""
