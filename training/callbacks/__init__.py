"""What is watched while training: progress, target and realised shares. Nothing of Composer."""
