"""Views of the page "Documents": upload, jobs, table and one document."""
