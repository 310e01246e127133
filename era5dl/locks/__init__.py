"""Lock files: one program at a time on a session (`lock_file`) and on each object of a folder (`object_claims`)."""
