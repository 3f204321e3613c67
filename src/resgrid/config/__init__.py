"""The configuration: frozen, typed models of the sections of `params.yaml`, one file for each concern."""
