"""What goes onto the device: bundles, backends, sources, sinks and the loop. Imports neither torch nor onnx."""
