"""Real S3 servers that the tests start on this machine. The one that misbehaves on purpose is `tests/faultlab`."""
