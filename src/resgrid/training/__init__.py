"""Training one cell with Lightning: the schedule, the module, checkpoints for resuming, and the whole of it (`fit`)."""
