"""Lock files: one program at a time per session (`lock_file`) and per object of a folder (`object_claims`)."""
