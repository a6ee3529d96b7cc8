"""The callbacks of the platforms, and the events that they must become."""
