"""Texts of the window for catalogue, errors, events, states and diagnoses, and their translation. No Tk."""
