"""View models: the state that pages show, as plain values. No Tk."""
