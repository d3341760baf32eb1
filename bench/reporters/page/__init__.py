"""What the HTML page is made of beside its templates: the data for its script, the first table, plots, the library."""
