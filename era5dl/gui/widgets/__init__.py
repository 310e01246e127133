"""Widgets of our own. They receive values and callbacks, and know nothing about downloads.

Each receives the `Theme` of its window, follows its palette, and takes texts that are already translated. Texts of its
own are changed by `set_texts`.
"""
