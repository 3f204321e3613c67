"""`make accept`: replay parts of trainings with changed code or packages, and keep results whose bits are the same."""
