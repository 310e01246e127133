"""How bytes are proven to be the server's: its ETag (`etag`), MD5s as they stream (`digest`, `md5`), file structure."""
