"""The pages of the window: each gets values and callbacks, and knows neither engine nor settings."""
