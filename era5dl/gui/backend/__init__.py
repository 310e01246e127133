"""Backend of the window: runs planning, downloads, verification and network tests on threads. No Tk."""
