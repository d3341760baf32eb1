"""For Python and notebooks: check and measure a function."""
