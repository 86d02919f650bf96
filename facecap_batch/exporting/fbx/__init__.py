"""Binary FBX: scene, animation, records."""
