"""Reusable widgets that Tk does not have. They receive values and callbacks, and do not depend on downloads.

Each receives the `Theme` of its window and follows its palette. Texts are passed in already translated, and changed
with `set_texts`.
"""
