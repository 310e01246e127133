"""Dialog windows: settings, help and questions. They get values and callbacks."""
