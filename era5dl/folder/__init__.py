"""The folder that files land in: safe names, room, part files, and the only way a file gets its final name."""
