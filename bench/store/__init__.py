"""Where runs are kept: the schema, the files and the table made of them."""
