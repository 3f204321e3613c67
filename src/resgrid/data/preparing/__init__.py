"""Raw files to prepared arrays: decode, split, measure."""
