"""For Python and notebooks: check and measure a function, and plot what was measured."""
