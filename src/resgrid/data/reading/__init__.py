"""Read access to prepared data: batches of images for training and evaluation."""
