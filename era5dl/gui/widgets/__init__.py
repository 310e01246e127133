"""The window's own widgets. They get values and callbacks and know nothing of downloads.

Each is handed the `Theme` of its window, repaints itself when the look is switched, and takes texts ready to be shown;
where it has texts of its own, `set_texts` changes them live.
"""
