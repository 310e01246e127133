"""The bucket: what we need of it (`store`), how S3 gives it (`s3`), and boto3 for what is unusual (`client`)."""
