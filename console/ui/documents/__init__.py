"""Views of the page "Documents": upload, jobs, document table and document details."""
