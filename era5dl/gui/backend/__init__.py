"""Backend of the window: threads, no Tk. The only room of the window that starts planning, runs, checks and tests."""
