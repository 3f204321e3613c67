"""Training of one cell with Lightning: `fit` lists the steps, `module` holds one optimizer step."""
