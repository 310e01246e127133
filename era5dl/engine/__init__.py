"""The download engine: downloads a plan in threads, carries out commands, and reports events and progress.

It depends neither on the window nor on an S3 library.
"""
