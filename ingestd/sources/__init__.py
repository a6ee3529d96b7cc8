"""Sources: from one platform's request to the event's final bytes."""
