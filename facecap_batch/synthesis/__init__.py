"""Rendered people with exact labels: the only faces our own engines are trained on.

In: the folder of ICT-FaceKit's ``FaceXModel`` (MIT) and a seed. Out: images with coefficients, head pose,
landmarks and boxes. Everything else (skin, brows, hair, eyes, glasses, light, backgrounds) is procedural.
"""
