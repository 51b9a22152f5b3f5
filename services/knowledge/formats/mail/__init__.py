"""Mail, its parts and attachments."""
