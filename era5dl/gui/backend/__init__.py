"""Threads behind the window. No Tk; the only part of the window that knows planner, engine and sessions."""
