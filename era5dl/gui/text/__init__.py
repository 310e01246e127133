"""Every text that a person reads in the window, and its translation. No Tk."""
