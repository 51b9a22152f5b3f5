"""The memory budget: watermarks, and steps that are taken before anything is killed."""
