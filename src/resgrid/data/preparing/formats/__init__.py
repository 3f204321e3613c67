"""Decoders of published file formats, one module each, and of image archives."""
