"""The bucket: what we need of it (`store`), and how S3 gives it (`s3`, the only floor that knows boto3)."""
