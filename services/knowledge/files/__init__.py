"""Where original files are kept: in a folder, or in a bucket of an S3 server."""
