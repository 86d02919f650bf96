"""The head as a picture, on one core without a GPU: polygons to pixels, light to colours."""
