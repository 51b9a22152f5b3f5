"""What nodes keep in the database: themselves, and what each has claimed."""
