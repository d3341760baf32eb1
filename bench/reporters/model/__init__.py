"""What a report says, worked out once: formats only lay it out."""
