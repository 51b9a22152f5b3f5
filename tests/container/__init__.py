"""`make container`: the image is built without a registry, and what was built is run."""
