"""Dialog windows: settings, help and questions. They receive values and report changes through callbacks."""
