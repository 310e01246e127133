"""Access to the S3 bucket: `interface` for the rest of the program, `s3` as its implementation with boto3."""
