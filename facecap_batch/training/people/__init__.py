"""Who is rendered: identities, skins, hair, clothes, glasses, and what real performers did."""
