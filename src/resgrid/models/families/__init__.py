"""Families of networks, one file each; `resgrid.models.build` imports the one that a name asks for."""
