"""The download folder: safe paths, free space, part files, and durable atomic writes."""
