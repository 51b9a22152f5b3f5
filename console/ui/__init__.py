"""What the pages are made of: one folder a page, and what several of them share."""
