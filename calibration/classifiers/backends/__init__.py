"""Serving backends beside PyTorch eager: ONNX Runtime and OpenVINO for encoders, vLLM for LLMs."""
