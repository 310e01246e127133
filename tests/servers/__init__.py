"""Servers, proxies and raw clients for tests, all on 127.0.0.1. The fault-injecting S3 server is `tests/faultlab`."""
