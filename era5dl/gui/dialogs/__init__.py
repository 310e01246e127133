"""Dialog windows: settings, help and questions. They receive values and callbacks."""
