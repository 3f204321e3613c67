"""Raw files: find or download them, verify them, and list what they contain."""
