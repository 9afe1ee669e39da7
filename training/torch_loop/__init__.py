"""A plain PyTorch trainer. It knows nothing of Composer."""
