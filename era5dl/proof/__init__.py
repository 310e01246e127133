"""How bytes are proven to be the server's: its ETag (`etag`), MD5s while they stream (`digest`), file structure."""
