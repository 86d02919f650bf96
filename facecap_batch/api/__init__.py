"""The Python front door: what `facecap_batch` exports. Use the names from there."""
