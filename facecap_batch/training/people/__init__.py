"""Who is rendered: head meshes, identities, skins, hair, clothes."""
