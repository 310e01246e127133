"""Controllers: connect pages, models and backend. All on the Tk thread."""
