"""The networks in torch: FaceBoxes, MobileNetV3 and the default regressor, and their export to ONNX."""
