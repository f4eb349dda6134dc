"""The review page: its server, the frames and columns that it shows, and the page itself in static/."""
