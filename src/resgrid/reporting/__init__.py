"""The report: the grid's files in, one page, its figures and a summary out. Reads files alone, never MLflow."""
