"""Binary FBX: records, static scene, key times, animation, and the file made of them."""
