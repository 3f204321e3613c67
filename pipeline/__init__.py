"""The pipeline: one thin file per DVC stage, and the commands around them."""
