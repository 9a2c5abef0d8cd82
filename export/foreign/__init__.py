"""Other people's models: a float ONNX of any make becomes a candidate like our own."""
