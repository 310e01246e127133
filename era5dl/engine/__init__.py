"""The engine room: a plan on threads. Commands in, facts and numbers out; it knows no window and no S3 library."""
