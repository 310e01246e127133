"""The pages of the window and their panels. They receive values and callbacks, and use neither engine nor settings."""
