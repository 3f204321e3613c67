"""Network families, one module each; `resgrid.models.build` imports the module of the network that it builds."""
