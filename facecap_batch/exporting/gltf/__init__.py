"""glTF binary (.glb), written by hand: a container of JSON and numbers, and our head animated in it."""
