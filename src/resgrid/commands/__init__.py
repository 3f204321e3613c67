"""The commands of `resgrid`, one file each."""
